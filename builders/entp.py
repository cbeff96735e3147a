"""The builder behind `load_dataset("entp", data_files=..., **settings)`: runs the pipeline and caches what it made."""

from __future__ import annotations

import dataclasses
import hashlib
import inspect
import logging
import shutil
import tempfile
from collections.abc import Callable, Iterator
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import datasets
import datasets.exceptions
import pyarrow as pa
from datasets.fingerprint import Hasher

from ..config import EntpConfig
from ..errors import ConfigError, EntpError
from ..execution.own_code import content_hash
from ..execution.source_hash import source_hash
from ..io.paths import EXTENSIONS, extension
from ..llm.factory import AUTO
from ..models.known import default_chat_model
from ..schema import FEATURES

logger = logging.getLogger(__name__)
# `split` and `cache_dir` are load_dataset's own arguments; the pipeline's cache is set by $ENTP_CACHE here.
_SETTINGS = [setting for setting in dataclasses.fields(EntpConfig) if setting.name not in ("split", "cache_dir")]
RUNS = "runs"  # folder in the cache, beside the rows: what each split's run wrote
_NO_EFFECT = {
    "num_proc",
    "concurrency",
    "timeout",
    "start_timeout",
    "price_in",
    "price_out",
}  # on the rows that come out


class _Base(datasets.BuilderConfig):  # type: ignore[misc]
    """datasets' own fields: name, version, data_dir, data_files, description; those of EntpConfig are added below."""

    def create_config_id(self, config_kwargs: dict[str, Any], custom_features: datasets.Features | None = None) -> str:
        """Hash of the settings in force, so that spelling out a default hits the cache, and of the files' contents."""
        values = {setting.name: getattr(self, setting.name) for setting in _SETTINGS if setting.name not in _NO_EFFECT}
        if values["model"] == AUTO:  # another model once the writer has been fetched
            values["model"] = default_chat_model(str(EntpConfig().cache_path()))
        files = {split: [_content(str(file)) for file in files] for split, files in (self.data_files or {}).items()}
        return f"{self.name}-{Hasher.hash((values, files, content_hash(values), source_hash()))}"


def _content(file: str) -> str:
    """What tells that a file has changed: its bytes where it is here, its address (with revision) where it is not."""
    if not Path(file).is_file():
        return file
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "blake2b").hexdigest()


def _default(setting: dataclasses.Field[Any]) -> Any:
    if setting.default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=setting.default_factory)
    return dataclasses.field(default=setting.default)


EntpBuilderConfig = dataclasses.make_dataclass(
    "EntpBuilderConfig",
    [(k.name, k.type, _default(k)) for k in _SETTINGS],
    bases=(_Base,),
    eq=False,
    namespace={"__module__": __name__},
)


class Made(datasets.Dataset):  # type: ignore[misc]
    """A split as the builder made it, with its run's folder beside it in the cache; `map` gives a Dataset."""

    def run_folder(self) -> Path | None:
        """What `entp build` would have written, None where it is gone or the rows are no longer those of the run."""
        from ..io.parquet import read_written

        for file in self.cache_files[:1]:
            folder = Path(file["filename"]).parent / RUNS / str(self.split)
            rows = folder / "data" / "train.parquet"
            if rows.is_file() and self.features == FEATURES and read_written(rows, ["id"])["id"][:] == self["id"][:]:
                return folder
        return None

    def push_to_hub(self, repo_id: str, *args: Any, **options: Any) -> Any:
        """Push with card, manifest, recipe, report and dropped rows, as `Result.push_to_hub` does.

        Of `datasets`' options `private`, `token`, `commit_message`, `revision` and `create_pr` are taken. With others,
        or where the rows were changed since, the rows are pushed alone, as of any dataset, and a warning says so.
        """
        from huggingface_hub import CommitInfo

        from ..pipeline.publish import push_folder

        folder = self.run_folder()
        others = options.keys() - {"private", "token", "commit_message", "revision", "create_pr"}
        if folder is None or args or others:
            reason = f"with {', '.join(sorted(others))}" if others else "the rows are not those of the run any more"
            logger.warning("%s: pushed without card, manifest and report: %s", repo_id, reason)
            return super().push_to_hub(repo_id, *args, **options)
        with tempfile.TemporaryDirectory(prefix="entp-push-") as copy:  # the card is written into it
            shutil.copytree(folder, copy, dirs_exist_ok=True)
            done = push_folder(copy, repo_id, private=bool(options.pop("private", False)), **options)
        return CommitInfo(f"{done.url}/commit/{done.commit}", done.tag, "", done.commit)


class Entp(datasets.ArrowBasedBuilder):  # type: ignore[misc]
    """Each split of `data_files` is a pool of its own; its rows are the hybrid dataset made of it."""

    BUILDER_CONFIG_CLASS = EntpBuilderConfig

    def __init__(self, *args: Any, **options: Any) -> None:
        """As every builder; raises ConfigError for settings that there are not, with the nearest name."""
        known = {field.name for field in dataclasses.fields(EntpBuilderConfig)}
        known |= inspect.signature(datasets.DatasetBuilder.__init__).parameters.keys()
        if wrong := [name for name in options if name not in known]:
            near = {name: get_close_matches(name, [setting.name for setting in _SETTINGS], n=1) for name in wrong}
            raise ConfigError(
                [f"{name}: no such setting" + (f"; did you mean {n[0]}?" if n else "") for name, n in near.items()]
            )
        super().__init__(*args, **options)

    def download_and_prepare(self, *args: Any, **options: Any) -> Any:
        """As every builder's, but an error of this package comes as it is, not as a DatasetGenerationError."""
        try:
            return super().download_and_prepare(*args, **options)
        except datasets.exceptions.DatasetGenerationError as error:
            if isinstance(error.__cause__, EntpError):
                raise error.__cause__ from None
            raise

    def _settings(self) -> EntpConfig:
        return EntpConfig.from_dict({setting.name: getattr(self.config, setting.name) for setting in _SETTINGS})

    def _info(self) -> datasets.DatasetInfo:
        # Here, and not in generation, where datasets wraps every error in a DatasetGenerationError.
        self._settings()
        self._check_files()
        return datasets.DatasetInfo(description="Hybrid dataset made by entp-hf", features=FEATURES)

    def _check_files(self) -> None:
        names = [str(file) for files in (self.config.data_files or {}).values() for file in files]
        if not names:
            raise ConfigError(["data_files: none given; load_dataset('entp', data_files='pool.jsonl')"])
        unknown = [name for name in names if not extension(Path(name))]
        if unknown:  # without data_files, datasets hands over everything in the working directory
            raise ConfigError(
                [f"data_files: {unknown[0]} is none of {', '.join(EXTENSIONS)}; name the files of the pool"]
            )

    def _split_generators(self, dl_manager: datasets.DownloadManager) -> list[datasets.SplitGenerator]:
        local = dl_manager.download(self.config.data_files)
        # A tuple, because datasets shards lists over num_proc, and the clusters must see the whole split.
        return [
            datasets.SplitGenerator(name=split, gen_kwargs={"files": tuple(files), "split": str(split)})
            for split, files in local.items()
        ]

    def _generate_tables(self, files: tuple[str, ...], split: str) -> Iterator[tuple[Any, pa.Table]]:
        from ..pipeline.run import run

        result = run(list(files), self._settings())
        if "://" not in str(self._output_dir):
            folder = Path(self._output_dir) / RUNS / split
            folder.mkdir(parents=True, exist_ok=True)
            result.write(folder)
        yield datasets.builder.Key(0, 0), result.kept.with_format("arrow")[:]

    def as_dataset(self, *args: Any, **options: Any) -> Any:
        """The split or splits that were asked for, each a `Made` where it is a whole one."""
        return _each(super().as_dataset(*args, **options), _made)

    def as_streaming_dataset(self, split: Any = None, **_: Any) -> Any:
        """The rows as a stream: made and cached once, then read from the cache at each pass.

        The clusters need the whole pool, so nothing could be streamed before all of it was read.
        """
        self.download_and_prepare()
        found = super().as_dataset(split=split)
        if isinstance(found, dict):
            return datasets.IterableDatasetDict({name: part.to_iterable_dataset() for name, part in found.items()})
        return _each(found, lambda part: part.to_iterable_dataset())


def _each(found: Any, change: Callable[[datasets.Dataset], Any]) -> Any:
    """Change a dataset, or each one of a list or a dictionary."""
    if isinstance(found, dict):
        return type(found)({name: change(part) for name, part in found.items()})
    return [change(part) for part in found] if isinstance(found, list) else change(found)


def _made(part: datasets.Dataset) -> Made:
    return Made(
        part.data,
        info=part.info,
        split=part.split,
        indices_table=part._indices,
        fingerprint=part._fingerprint,
    )
