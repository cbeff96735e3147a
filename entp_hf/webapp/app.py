"""The Gradio app: two pages in one, and its server."""

from __future__ import annotations

import threading
from importlib import resources
from pathlib import Path
from typing import Any

import gradio as gr
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.responses import PlainTextResponse

from ..config import EntpConfig
from ..reporting.svg import plot_style
from .jobs.process import cool_down, warm_up
from .jobs.runs import Run, Runs
from .jobs.sandbox import Sandbox
from .pages.downloads import routes
from .pages.fields import told
from .pages.input import upload_area
from .pages.run import RunPage
from .pages.start import StartPage
from .security.limits import Limits, Refused, limits_here
from .security.requests import size_of
from .security.users import signing_in, user_of

SAID = (
    "Training data that a quality filter would throw away is repaired by rules, and related rows are merged into new "
    "ones: the method ENTP ([arXiv 2510.23160](https://arxiv.org/abs/2510.23160))."
)
TO_RUN = "(link) => { if (link) history.pushState({}, '', new URL(link).search); }"
# Behind a proxy with a path, an address without its last slash would look for the page's files one level too high.
SLASH = (
    "<script>if (!location.pathname.endsWith('/')) "
    "location.replace(location.pathname + '/' + location.search);</script>"
)
TO_START = "() => { const u = new URL(location); u.searchParams.delete('run'); location.assign(u); }"


def build(runs: Runs, limits: Limits, aside: Sandbox) -> gr.Blocks:
    """The pages and what their buttons do."""
    with gr.Blocks(
        title="ENTP", analytics_enabled=False, delete_cache=(600, 3600 if limits.hosted else 86_400)
    ) as demo:
        with gr.Row():
            gr.Markdown(f"# ENTP\n\n{SAID}")
            if signing_in():
                gr.LoginButton(size="sm", scale=0, min_width=220)
        mine = gr.Radio([], label="Your runs", visible=False, elem_id="mine")
        with gr.Column(elem_id="start-page") as first:
            start = StartPage(runs, limits, aside)
        with gr.Column(visible=False, elem_id="run-page") as second:
            new = gr.Button("Start another run", size="sm", elem_classes=["slim"])
            page = RunPage(runs, limits)
        views = [first, second, page.run_id, *page.outputs, *page.filled]

        def opened(run: Run, request: gr.Request) -> list[Any]:
            return [
                gr.update(visible=False),
                gr.update(visible=True),
                run.id,
                *page.shown(run, request),
                *page.full(run),
            ]

        def on_load(request: gr.Request) -> list[Any]:
            user = user_of(request, limits)
            listed = [(f"{run.source}, {run.state}", run.id) for run in runs.of(user.name)[:10]]
            shown = gr.update(choices=listed, visible=bool(listed))
            asked = str(request.query_params.get("run") or "")
            run = runs.get(asked, user.name)
            if run is not None:
                return [shown, *opened(run, request)]
            if asked:
                gr.Warning("There is no such run, or it is someone else's; it may have been deleted since.")
            return [shown, *[gr.update()] * len(views)]

        def on_start(request: gr.Request, planned: Any, key: str, *values: Any) -> list[Any]:
            with told():
                return opened(start.begin(planned, key or "", values, user_of(request, limits)), request)

        def on_mine(run_id: str, request: gr.Request) -> list[Any]:
            with told():
                run = runs.get(run_id, user_of(request, limits).name)
                if run is None:
                    raise Refused("there is no such run any more")
            return opened(run, request)

        demo.load(on_load, None, [mine, *views], api_visibility="private")
        started = start.start.click(on_start, [start.planned, start.key, *start.inputs()], views, api_name="start")
        started.success(None, [page.link], None, js=TO_RUN, api_visibility="private")
        mine.input(on_mine, [mine], views, api_visibility="private").success(
            None, [page.link], None, js=TO_RUN, api_visibility="private"
        )
        new.click(None, None, None, js=TO_START, api_visibility="private")
    demo.queue(default_concurrency_limit=8, max_size=100)
    return demo


FONTS = ["system-ui", "Segoe UI", "Roboto", "Noto Sans", "sans-serif"]  # the reader's own: none is fetched
THEME = gr.themes.Soft(primary_hue="blue", font=FONTS, font_mono=["ui-monospace", "Menlo", "monospace"]).set(
    block_info_text_color="*neutral_600",
    block_info_text_color_dark="*neutral_300",
    block_title_background_fill="none",
    block_title_background_fill_dark="none",
    block_title_padding="0",
    block_title_text_color="*neutral_800",
    block_title_text_color_dark="*neutral_100",
    checkbox_label_background_fill_selected="*primary_700",
    checkbox_label_background_fill_selected_dark="*primary_700",
    checkbox_background_color_selected="*primary_700",
    checkbox_background_color_selected_dark="*primary_500",
    button_primary_background_fill="*primary_700",
    button_primary_background_fill_hover="*primary_800",
    button_primary_background_fill_dark="*primary_700",
    button_primary_background_fill_hover_dark="*primary_800",
    button_cancel_background_fill="#b91c1c",
    button_cancel_background_fill_dark="#b91c1c",
    button_cancel_text_color="white",
    button_cancel_text_color_dark="white",
    link_text_color="*primary_700",
    link_text_color_dark="*primary_300",
    link_text_color_visited="*primary_700",
    link_text_color_visited_dark="*primary_300",
    link_text_color_hover_dark="*primary_200",
    input_placeholder_color="*neutral_500",
    input_placeholder_color_dark="*neutral_300",
)


class SlashMiddleware:
    """Adds `SLASH` to the head of the app's page, which gradio's own `head` reaches too late."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on; the page's first message waits for its text, whose length changes."""
        roots = ("", scope.get("root_path", "").rstrip("/"))
        if scope["type"] != "http" or scope["method"] != "GET" or scope["path"].rstrip("/") not in roots:
            await self.app(scope, receive, send)
            return
        started: list[Any] = []

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                started.append(message)
                return
            if started:
                start = started.pop()
                headers = MutableHeaders(scope=start)
                if headers.get("content-type", "").startswith("text/html") and not message.get("more_body"):
                    body = message.get("body", b"").replace(b"<head>", b"<head>" + SLASH.encode(), 1)
                    headers["content-length"] = str(len(body))
                    message = {**message, "body": body}
                await send(start)
            await send(message)

        await self.app(scope, receive, sending)


class Door:
    """Takes no upload where too much lies there already, and puts headers on every answer: no sniffing of types, and
    no address of a page given to others.
    """

    def __init__(self, app: Any, limits: Limits) -> None:
        self.app, self.limits = app, limits

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass on, with the headers added."""

        async def sending(message: Any) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["X-Content-Type-Options"] = "nosniff"
                headers["Referrer-Policy"] = "no-referrer"
            await send(message)

        uploads = (
            scope["type"] == "http" and scope["method"] == "POST" and scope["path"].rstrip("/").endswith("/upload")
        )
        if uploads and size_of(upload_area()) > self.limits.area:
            await PlainTextResponse("Too many uploads lie here; try again later.", 503)(scope, receive, sending)
        else:
            await self.app(scope, receive, sending)


def style() -> str:
    """The app's style sheet: its own, and the report's colours and plots."""
    day, night, shapes = plot_style()
    own = resources.files("entp_hf.webapp").joinpath("style.css").read_text(encoding="utf-8")
    colours = f":root {{ {day} }}\n:root.dark, .dark {{ {night} }}\n"
    return colours + shapes + own


def serve(
    folder: Path | None = None,
    limits: Limits | None = None,
    port: int | None = None,
    host: str | None = None,
    wait: bool = True,
    browser: bool = False,
    root_path: str = "",
) -> tuple[gr.Blocks, Runs]:
    """Open the app and return its pages and runs.

    Args:
        folder: keeps the runs, so that they are found again; None: in the cache.
        limits: of users, rows, time and memory; None: those of a hosted app where $SPACE_ID is set, else none.
        port: None: the first free one from 7860 on.
        host: address to listen on; None: gradio's own choice ($GRADIO_SERVER_NAME, else 127.0.0.1).
        wait: return only when the app is stopped.
        browser: open a browser window.
        root_path: path under which a proxy serves the app, such as /user/ann/proxy/7860; "": $GRADIO_ROOT_PATH.
    """
    limits = limits or limits_here()
    folder = folder or EntpConfig().cache_path() / "app"
    runs, aside = Runs(folder, limits), Sandbox(limits)
    for warm in (aside.warm_up, warm_up):
        threading.Thread(target=warm, daemon=True).start()
    demo = build(runs, limits, aside)
    own = {
        "middleware": [Middleware(Door, limits=limits), Middleware(SlashMiddleware)],
        "routes": routes(runs, limits),
    }
    try:
        demo.launch(
            server_name=host,
            server_port=port,
            inbrowser=browser,
            root_path=root_path or None,
            css=style(),
            theme=THEME,
            max_file_size=limits.bytes,
            show_error=False,
            enable_monitoring=False,
            ssr_mode=False,
            footer_links=[],
            prevent_thread_lock=not wait,
            quiet=not wait,
            app_kwargs=own,
        )
    finally:
        if wait:
            runs.close()
            aside.close()
            cool_down()
    return demo, runs
