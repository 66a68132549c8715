"""What the server prints once it answers: where each SDK is to point, one line each."""

from __future__ import annotations

from ogam.config import Config
from ogam.gateway.keys import First
from ogam.server.run import Ports
from ogam.server.tls import Authority


def text(
    config: Config,
    ports: Ports,
    tls: Authority | None,
    seconds: float,
    *,
    asked: bool = False,
) -> str:
    """Lines to copy. A key is never printed here; ``asked``: the ledger has some."""
    host = _called(config.server.host)
    base = f"http://{host}:{ports.http}"
    key = "YOUR_KEY" if config.server.keys or asked else "any"
    lines = [
        f"Ogam answers at {base} after {seconds:.2f} s. Ctrl-C stops it.",
        "",
        f"Console     {base}/",
        f'OpenAI      OpenAI(base_url="{base}/v1", api_key="{key}")',
        f'ElevenLabs  ElevenLabs(base_url="{base}", api_key="{key}")',
        f'DeepL       DeepLClient("{key}", server_url="{base}/")',
        f'Vision      ImageAnnotatorClient(transport="rest", client_options='
        f'{{"api_endpoint": "{base}", "api_key": "{key}"}})',
        f'Speech      SpeechClient(transport="rest", client_options='
        f'{{"api_endpoint": "{base}", "api_key": "{key}"}})',
    ]
    if ports.grpc is not None:
        lines.append(
            "  over gRPC: transport=SpeechGrpcTransport(channel="
            f'grpc.insecure_channel("{host}:{ports.grpc}"))'
        )
    if tls is not None:
        lines += [
            "",
            f"With TLS at https://localhost:{ports.https}, after:",
            f"  export SSL_CERT_FILE={tls.authority}",
            f"  export REQUESTS_CA_BUNDLE={tls.authority}",
            # DeepL's SDK takes neither variable.
            f'  DeepLClient("{key}", server_url="https://localhost:{ports.https}/", '
            f'verify_ssl="{tls.authority}")',
        ]
        if ports.grpc_tls is not None:
            lines += [
                f"  export GRPC_DEFAULT_SSL_ROOTS_FILE_PATH={tls.authority}",
                f'  SpeechClient(client_options={{"api_endpoint": "localhost:{ports.grpc_tls}", '
                f'"api_key": "{key}"}})',
            ]
    return "\n".join(lines)


def first_key(first: First) -> str:
    """What is said of the key that the server made for itself."""
    if first.key is not None:
        return (
            f"Beyond this machine a key is needed, so one was made: {first.key}\n"
            f"It is shown this once; its hash is kept in {first.file}."
        )
    return (
        "Callers show the key that was made and shown at the first start.\n"
        f"For a new one, remove {first.file} and start again."
    )


def _called(host: str) -> str:
    # 0.0.0.0 and :: are every address, and none to call.
    if not any(part.strip("0") for part in host.replace(":", ".").split(".")):
        return "localhost"
    return f"[{host}]" if ":" in host else host
