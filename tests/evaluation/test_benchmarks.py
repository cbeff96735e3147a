"""The benchmarks from local files: the same prompts and targets as lm-eval's own definitions give for Hub rows."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from entp_hf.errors import ConfigError, EntpError, InputError
from entp_hf.evaluation.benchmarks import BENCHMARKS, local_spec, task_folders

lm_eval = pytest.importorskip("lm_eval", reason="evaluation needs lm-eval")

REAL = Path(__file__).parents[2] / ".." / "shared" / "data" / "benchmarks"
SUBJECT = "college_biology"
QUESTIONS = [
    ("Which cell part holds DNA? ", ["Wall", "Nucleus", "Membrane", "Flagellum"], 1),
    ("What carries oxygen?", ["Plasma", "Platelets", "Red cells", "Lymph"], 2),
    ("How many chambers has a heart?", ["One", "Two", "Three", "Four"], 3),
]
GSM = {"question": "Tom has 3 nets and buys 4. How many nets?", "answer": "3 + 4 = <<3+4=7>>7.\n#### 7"}
BBH = {"input": "not ( True ) and ( True ) is", "target": "False"}
TRUTH = {"Question": "Can stones float?", "Best Answer": "Pumice can", "Correct Answers": "Pumice can; Some can",
         "Incorrect Answers": "No stone can; Never"}  # fmt: skip
TYDI = [
    {
        "id": f"finnish-{i}",
        "language": "finnish",
        "title": "T",
        "context": f"Vuosi on 190{i}.",
        "question": "Mikä?",
        "answers": {"text": [f"190{i}"], "answer_start": [9]},
    }
    for i in range(3)
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Benchmark files in the local form, three rows or fewer each."""
    root = tmp_path_factory.mktemp("benchmarks")
    for split, rows in (("test", QUESTIONS[:1]), ("dev", QUESTIONS[1:])):
        (root / "mmlu" / split).mkdir(parents=True)
        with (root / "mmlu" / split / f"{SUBJECT}_{split}.csv").open("w", newline="") as stream:
            writer = csv.writer(stream)
            writer.writerow(["question", *(f"choice{i}" for i in range(4)), "answer"])
            writer.writerows([question, *choices, answer] for question, choices, answer in rows)
    (root / "gsm8k_test.jsonl").write_text(json.dumps(GSM) + "\n")
    (root / "bbh").mkdir()
    (root / "bbh" / "boolean_expressions.json").write_text(json.dumps({"examples": [BBH]}))
    with (root / "truthfulqa.csv").open("w", newline="") as stream:
        writer = csv.DictWriter(stream, list(TRUTH))
        writer.writeheader()
        writer.writerow(TRUTH)
    (root / "tydiqa_goldp_dev.jsonl").write_text(json.dumps(TYDI[0]) + "\n")
    (root / "tydiqa_goldp_train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in TYDI[1:]))
    return root


def manager():
    from lm_eval.tasks import TaskManager

    return TaskManager(include_defaults=False, include_path=task_folders())


def local_tasks(name, folder):
    return manager().load([local_spec(name, folder)])["tasks"]


def own_task(name, splits, tmp_path):
    """lm-eval's own definition, its data set replaced by a file of rows in the Hub's form; nothing else is changed."""
    from lm_eval.api.task import ConfigurableTask
    from lm_eval.tasks._yaml_loader import load_yaml

    files = {}
    for split, rows in splits.items():
        files[split] = str(tmp_path / f"{split}.json")
        Path(files[split]).write_text(json.dumps(rows))
    config = load_yaml(manager().task_index[name].yaml_path)
    config |= {"dataset_path": "json", "dataset_name": None, "dataset_kwargs": {"data_files": files}}
    config.pop("tag", None)
    return ConfigurableTask(config=config)


def mmlu_rows(rows):
    return [{"question": q, "subject": SUBJECT, "choices": c, "answer": a} for q, c, a in rows]


HUB = {
    "mmlu": (f"mmlu_{SUBJECT}", {"test": mmlu_rows(QUESTIONS[:1]), "dev": mmlu_rows(QUESTIONS[1:])}, (0, 2)),
    "gsm8k": ("gsm8k_cot", {"test": [GSM], "train": [GSM]}, (0, 8)),
    "bbh": ("bbh_cot_fewshot_boolean_expressions", {"test": [BBH]}, (3,)),
    "truthfulqa": (
        "truthfulqa_mc2",
        {"validation": [{
            "question": "Can stones float?",
            "mc1_targets": {"choices": ["Pumice can", "No stone can", "Never"], "labels": [1, 0, 0]},
            "mc2_targets": {"choices": ["Pumice can", "Some can", "No stone can", "Never"], "labels": [1, 1, 0, 0]},
        }]},
        (0,),
    ),
    "tydiqa": (
        "tydiqa_goldp_fi",
        {split: [{k: v for k, v in row.items() if k != "language"} for row in rows]
         for split, rows in (("validation", TYDI[:1]), ("train", TYDI[1:]))},
        (0, 1),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", BENCHMARKS)
def test_prompt_and_target_are_those_of_lm_evals_own_task(name, folder, tmp_path):
    task, splits, shots = HUB[name]
    ours, own = local_tasks(name, folder)[task], own_task(task, splits, tmp_path)
    (doc,), (own_doc,) = list(ours.eval_docs), list(own.eval_docs)
    for count in shots:
        ours.set_fewshot_seed(7)
        own.set_fewshot_seed(7)
        prompt = ours.fewshot_context(doc, num_fewshot=count)
        assert prompt == own.fewshot_context(own_doc, num_fewshot=count)
        assert len(str(prompt)) > 40 * (count + 1) or name == "tydiqa"
    assert ours.doc_to_target(doc) == own.doc_to_target(own_doc)
    if own.OUTPUT_TYPE == "multiple_choice":
        assert ours.doc_to_choice(doc) == own.doc_to_choice(own_doc)
    for setting in ("metric_list", "filter_list", "generation_kwargs", "num_fewshot", "description"):
        if (name, setting) != ("tydiqa", "num_fewshot"):  # lm-eval's definition leaves the number of shots open
            assert getattr(ours.config, setting) == getattr(own.config, setting), setting


def test_the_papers_shots():
    folder = REAL
    if not folder.is_dir():
        pytest.skip("the benchmarks' files are not here")
    shots = {"truthfulqa_mc2": 0, "gsm8k_cot": 8, "bbh_cot_fewshot_snarks": 3}
    for name in ("truthfulqa", "gsm8k", "bbh"):
        tasks = local_tasks(name, folder)
        for task, number in shots.items():
            if task in tasks:
                assert tasks[task].config.num_fewshot == number


def test_tydiqa_takes_its_shot_from_a_train_file_or_none(folder, tmp_path):
    assert local_tasks("tydiqa", folder)["tydiqa_goldp_fi"].config.num_fewshot == 1
    (tmp_path / "tydiqa_goldp_dev.jsonl").write_text((folder / "tydiqa_goldp_dev.jsonl").read_text())
    assert local_tasks("tydiqa", tmp_path)["tydiqa_goldp_fi"].config.num_fewshot == 0


def test_all_items_of_the_real_files():
    if not REAL.is_dir():
        pytest.skip("the benchmarks' files are not here")
    counts = {}
    for name, benchmark in BENCHMARKS.items():
        read = benchmark.read(REAL)
        counts[name] = len(read), sum(len(s.get("test") or s["validation"]) for s in read.values())
    assert counts == {
        "mmlu": (57, 14042),
        "truthfulqa": (2, 2 * 817),
        "gsm8k": (1, 1319),
        "bbh": (27, 6511),
        "tydiqa": (4, 4),
    }


def test_run_from_local_files_without_network(folder, tmp_path_factory):
    from tiny import tiny_llama

    from entp_hf.evaluation.evaluate import evaluate_items

    model = tiny_llama(tmp_path_factory.mktemp("tiny"))
    options = {"benchmark_dir": str(folder), "device": "cpu", "gen_kwargs": "max_gen_toks=4"}
    found = evaluate_items(model, None, ["mmlu", "truthfulqa", "tydiqa"], num_fewshot=0, **options)
    assert found.metrics["mmlu"]["n"] == 1
    assert found.metrics["mmlu"]["acc"] == found.metrics[f"mmlu_{SUBJECT}"]["acc"]
    assert found.items["mmlu"]["acc"] == found.items[f"mmlu_{SUBJECT}"]["acc"]
    assert 0 <= found.metrics["truthfulqa_mc2"]["acc"] <= 1
    assert found.metrics["tydiqa"].keys() == {"f1", "n"}


def test_what_cannot_be_read(folder, tmp_path):
    from entp_hf.evaluation.evaluate import evaluate_items

    with pytest.raises(InputError, match="benchmark bbh: .* holds no bbh/"):
        local_spec("bbh", tmp_path)
    (tmp_path / "gsm8k_test.jsonl").write_text("{")
    with pytest.raises(InputError, match="benchmark gsm8k in .* can't be read as its items: JSONDecodeError"):
        local_spec("gsm8k", tmp_path)
    with pytest.raises(ConfigError, match="benchmark_dir: .* is no folder"):
        evaluate_items("x", None, ["mmlu"], benchmark_dir=str(tmp_path / "absent"))
    with pytest.raises(ConfigError, match="known are entp_quiz, mmlu, truthfulqa, gsm8k, bbh, tydiqa and"):
        evaluate_items("x", None, ["mmlux"], benchmark_dir=str(folder))


def test_offline_says_that_the_items_are_missing(tmp_path_factory):
    from tiny import tiny_llama

    from entp_hf.evaluation.evaluate import evaluate

    model = tiny_llama(tmp_path_factory.mktemp("tiny"))
    with pytest.raises(EntpError, match="the items of gsm8k can't be had"):
        evaluate(model, tasks=["gsm8k"], device="cpu")
