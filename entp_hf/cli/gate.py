"""`entp gate fit`: the gate's learned score, made anew from labelled rows."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.markup import escape

from ..config import EntpConfig
from ..errors import InputError
from .arguments import Overwrite
from .console import out, table

gate = typer.Typer(no_args_is_help=True, help="Fit the gate's learned score to labelled rows.")


@gate.command("fit")
def fit_(
    labelled: Annotated[str, typer.Argument(help="folder with fusions.jsonl: made rows, their parents, labels")],
    output: Annotated[Path, typer.Option("--output", "-o", help="file to write")] = Path("score.json"),
    half: Annotated[str, typer.Option(help="half of the rows to fit to: build, held_out, all")] = "build",
    precision: Annotated[float, typer.Option(help="share of good rows that the bound is set for", min=0, max=1)] = 0.9,
    model: Annotated[str, typer.Option(help="also ask this model about each row; empty: words alone")] = "",
    overwrite: Overwrite = False,
) -> None:
    """Fit the score to labelled rows and write its coefficients, for `gate_score_file`.

    Example: entp gate fit labelled -o score.json && entp build pool.jsonl -o out --gate-score-file score.json
    """
    if output.exists() and not overwrite:
        raise InputError(f"{output} is there already; give another --output, or --overwrite")
    from ..gate.labelled import fit_labelled, read_labelled

    rows = read_labelled(labelled)
    chosen = [row for row in rows if half in ("all", row["half"])]
    if not chosen:
        raise InputError(f"half: {half!r} has no rows in {labelled}; there are build and held_out")
    config = EntpConfig(gate_ask=bool(model), judge_model=model, gate_score=0.0)
    scores = fit_labelled(chosen, config.validate(), precision)
    output.write_text(scores.text, encoding="utf-8")
    table(
        f"{escape(str(output))}",
        ["score", "rows", "bound", "AUC (cross-validated)"],
        [[name, s.rows, s.bound, f"{scores.auc[name]:.3f}"] for name, s in scores.scores.items()],
    )
    if scores.left_out:
        out.print(f"left out: {escape('; '.join(scores.left_out))}")


def register(app: typer.Typer) -> None:
    """Add the commands to the command line."""
    app.add_typer(gate, name="gate")
