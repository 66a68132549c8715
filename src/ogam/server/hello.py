"""What the server prints once it answers: where each SDK is to point, one line each."""

from __future__ import annotations

from ogam.config import Config
from ogam.server.run import Ports
from ogam.server.tls import Authority


def text(config: Config, ports: Ports, tls: Authority | None, seconds: float) -> str:
    """Lines to copy. A key is never printed."""
    host = config.server.host
    if not any(part.strip("0") for part in host.replace(":", ".").split(".")):
        host = "localhost"  # 0.0.0.0 and :: are every address, and none to call
    base = f"http://{host}:{ports.http}"
    key = "YOUR_KEY" if config.server.keys else "any"
    lines = [
        f"Ogam answers at {base} after {seconds:.2f} s. Ctrl-C stops it.",
        "",
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
            f"With TLS at https://localhost:{ports.https}, gRPC at localhost:{ports.grpc_tls}:",
            f"  export SSL_CERT_FILE={tls.authority}",
            f"  export REQUESTS_CA_BUNDLE={tls.authority}",
            f"  export GRPC_DEFAULT_SSL_ROOTS_FILE_PATH={tls.authority}",
            f'  SpeechClient(client_options={{"api_endpoint": "localhost:{ports.grpc_tls}", '
            f'"api_key": "{key}"}})',
        ]
    return "\n".join(lines)
