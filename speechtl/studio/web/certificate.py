"""A certificate for the local network, made on the spot: browsers give the microphone to encrypted pages only."""

from __future__ import annotations

import datetime
import ipaddress
import socket
from contextlib import suppress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

DAYS = 397  # that browsers accept at most
LEAST_DAYS = 30  # left of a certificate that is used again


def certificate(folder: Path, hosts: list[str]) -> tuple[Path, Path]:
    """Certificate and key for these names and addresses; those of the folder while they fit, so that phones trust them only once."""
    paths = folder / "certificate.pem", folder / "key.pem"
    if not all(path.is_file() for path in paths) or not _fits(paths[0], hosts):
        _make(*paths, hosts)
    return paths


def fingerprint(path: Path) -> str:
    """The fingerprint of a certificate, as browsers show it (SHA-256)."""
    digest = x509.load_pem_x509_certificate(path.read_bytes()).fingerprint(hashes.SHA256())
    return digest.hex(":").upper()


def addresses() -> list[str]:
    """Addresses of this machine in its local networks, the one of the usual way out first."""
    found: list[str] = []
    for family, outside in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((outside, 9))  # sends nothing; the system chooses the address to send from
            found.append(str(probe.getsockname()[0]))
    with suppress(OSError):
        found += [str(info[4][0]) for info in socket.getaddrinfo(socket.gethostname(), None, type=socket.SOCK_STREAM)]
    return [one for one in dict.fromkeys(found) if not ipaddress.ip_address(one.partition("%")[0]).is_loopback]


def _fits(path: Path, hosts: list[str]) -> bool:
    try:
        made = x509.load_pem_x509_certificate(path.read_bytes())
        names = made.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (ValueError, x509.ExtensionNotFound):
        return False
    left = made.not_valid_after_utc - datetime.datetime.now(datetime.timezone.utc)
    return left.days >= LEAST_DAYS and set(map(_name, hosts)) <= set(names)


def _make(certificate_path: Path, key_path: Path, hosts: list[str]) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    owner = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "speechtl studio")])
    now = datetime.datetime.now(datetime.timezone.utc)
    made = (
        x509.CertificateBuilder()
        .subject_name(owner)
        .issuer_name(owner)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=DAYS))
        .add_extension(x509.SubjectAlternativeName([_name(host) for host in hosts]), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(x509.ExtendedKeyUsage([x509.oid.ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .sign(key, hashes.SHA256())
    )
    form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    key_path.touch(mode=0o600)
    key_path.write_bytes(key.private_bytes(*form))
    certificate_path.write_bytes(made.public_bytes(serialization.Encoding.PEM))


def _name(host: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(host.partition("%")[0]))
    except ValueError:
        return x509.DNSName(host)
