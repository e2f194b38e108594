"""The server of the page: addresses, security headers, results that are fetched once, and deletion of all files."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import signal
import socket
import tempfile

from models.errors import UserError
from pipelines import cli
from pipelines.web.limits import Limits

LOOPBACK = ("127.0.0.1", "localhost")
CONTENT_POLICY = "; ".join(
    (
        "default-src 'self'",
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",  # Gradio evaluates templates and event handlers
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "media-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "connect-src 'self' blob: data:",
        "frame-ancestors 'none'",
    )
)
ENVIRONMENT = {  # Gradio reads these variables when it is imported and when components are built
    "GRADIO_ANALYTICS_ENABLED": "False",
    "GRADIO_ANALYTICS_CACHE_FREQUENCY": str(1 << 62),  # events between local statistics, which a page shows on request
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "HF_HUB_OFFLINE": "1",
}
HEADERS = {
    "Content-Security-Policy": CONTENT_POLICY,  # the browser refuses requests to other servers
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """Options of the server.

    Attributes:
      run_dir: the run.
      inverter: the inverter that is selected at first; a "vocoder:RUN" is added to the choices.
      host: address that the server listens on.
      port: 0 for any free one.
      limits: of a conversion.
      keep_dir: folder in which sources and results are kept; empty to keep none.
    """

    run_dir: str
    inverter: str = "auto"
    host: str = "127.0.0.1"
    port: int = 7860
    limits: Limits = dataclasses.field(default_factory=Limits)
    keep_dir: str = ""


def require_gradio() -> None:
    """Raise UserError if Gradio is not installed."""
    if importlib.util.find_spec("gradio") is None:
        raise UserError("the page needs gradio: pip install 'crossfade[listen]'")


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that listens on an address; connections wait until the page is served.

    Raises:
      UserError: the address is in use or not of this machine.
    """
    bound = None
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0][0]
        bound = socket.socket(family)
        bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        bound.bind((host, port))
        bound.listen()
    except OSError as error:
        if bound is not None:
            bound.close()
        raise UserError(f"--host={host} --port={port}: {error.strerror}; wanted a free address") from None
    return bound


def page_address(bound: socket.socket) -> str:
    """Return the address of the page that is served on a socket."""
    host, port = bound.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def create_app(options: ServerOptions, workspace):
    """Load the run and build the application.

    Args:
      options: options of the server.
      workspace: the :class:`pipelines.web.workspace.Workspace` of its files.

    Returns:
      A `fastapi.FastAPI`.

    Raises:
      UserError: the run or the inverter does not exist, is corrupt or does not match.
    """
    from pipelines.web.converter import Converter
    from pipelines.web.run_translators import RunTranslators

    translators = RunTranslators(options.run_dir, options.inverter)
    os.environ |= {"GRADIO_TEMP_DIR": workspace.uploads, **ENVIRONMENT}
    import fastapi
    import gradio as gr
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    from pipelines.web import answer_html, page

    app = fastapi.FastAPI(openapi_url=None)
    _add_results(app, workspace)
    app.add_middleware(SecurityHeaders)
    if options.host in LOOPBACK:  # other names for this machine would let other web sites use the page
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(LOOPBACK))
    fonts = {"font": [gr.themes.Font("sans-serif")], "font_mono": [gr.themes.Font("monospace")]}
    return gr.mount_gradio_app(
        app,
        page.build_page(Converter(translators, workspace, options.limits, options.keep_dir), options.inverter),
        path="/",
        footer_links=[],
        run_history=False,
        ssr_mode=False,
        max_file_size=options.limits.max_bytes,
        theme=gr.themes.Base(**fonts),
        css=answer_html.read_resource("page.css"),
        head=page.head(options.limits),
    )


def _add_results(app, workspace) -> None:
    """Add the address of results; a result is deleted when it has been sent."""
    import fastapi
    from fastapi.responses import FileResponse
    from starlette.background import BackgroundTask

    @app.get("/results/{token}/{name}")
    def send_result(token: str, name: str) -> FileResponse:
        path = workspace.take_result(token)
        if path is None:
            raise fastapi.HTTPException(404, "this result was fetched before; convert the file again")
        return FileResponse(path, filename=name, background=BackgroundTask(os.unlink, path))


class SecurityHeaders:
    """ASGI middleware that adds `HEADERS` to each response."""

    def __init__(self, app):
        self.app = app

    async def __call__(self, scope, receive, send):
        """Pass a request on, and add the headers to its response."""

        async def send_with_headers(message):
            if message["type"] == "http.response.start":
                added = [(name.lower().encode(), value.encode()) for name, value in HEADERS.items()]
                names = {name for name, _ in added}
                message["headers"] = [pair for pair in message["headers"] if pair[0].lower() not in names] + added
            await send(message)

        await self.app(scope, receive, send_with_headers)


def serve(options: ServerOptions) -> None:
    """Serve the page until an interrupt or SIGTERM; then delete all temporary files, whatever is running.

    Raises:
      KeyboardInterrupt: there was one, or a SIGTERM.
      UserError: Gradio is missing, the address is in use, or the run cannot be used.
    """
    require_gradio()
    from pipelines.web.workspace import Workspace

    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with bind(options.host, options.port) as bound, Workspace() as workspace:
        tempfile.tempdir = workspace.root  # temporary files of libraries are deleted with the others
        app = create_app(options, workspace)
        print(f"the page of {options.run_dir} is at {page_address(bound)} until Ctrl-C", flush=True)
        cli.run_interruptible(lambda: create_server(app).run(sockets=[bound]))


def create_server(app):
    """Return the `uvicorn.Server` of an application; it ends soon after its `should_exit` is set."""
    import uvicorn

    return uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
