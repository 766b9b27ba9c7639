"""Certificates in files: what is read of them, and the sentence for each file that cannot be used."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
import trustme

from gateway.config.certificate_files import current, read_authorities, read_certificate


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("certificates")
    authority = trustme.CA()
    for name, names in {"a": ("A.test", "*.b.test", "127.0.0.1", "::1"), "other": ("other.test",)}.items():
        issued = authority.issue_cert(*names)
        issued.private_key_pem.write_to_path(folder / f"{name}.key")
        for at, pem in enumerate(issued.cert_chain_pems):
            pem.write_to_path(folder / f"{name}.pem", append=at > 0)
    authority.cert_pem.write_to_path(folder / "authority.pem")
    (folder / "both.pem").write_bytes((folder / "a.key").read_bytes() + (folder / "a.pem").read_bytes())
    (folder / "text.pem").write_text("hello")
    (folder / "large.pem").write_bytes(bytes((1 << 20) + 1))
    (folder / "broken.pem").write_text("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
    run = ["openssl", "pkey", "-in", str(folder / "a.key"), "-aes128", "-passout", "pass:x"]
    subprocess.run([*run, "-out", str(folder / "encrypted.key")], check=True)
    return folder


def test_all_of_it(made: Path) -> None:
    found = read_certificate(str(made / "a.pem"), str(made / "a.key"))
    assert found.names == ("a.test", "*.b.test", "127.0.0.1", "::1")
    assert found.expires_at > 4e9  # trustme: in some decades
    assert found.chain.count("BEGIN CERTIFICATE") == (made / "a.pem").read_text().count("BEGIN CERTIFICATE")
    assert "PRIVATE" not in repr(found)
    assert found.sources.keys() == {str(made / "a.pem"), str(made / "a.key")}


def test_both_in_one_file(made: Path) -> None:
    found = read_certificate(str(made / "both.pem"), str(made / "both.pem"))
    assert "PRIVATE KEY" not in found.chain


def test_a_certificate_without_alternative_names_has_its_common_name(tmp_path: Path) -> None:
    run = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3"]
    files = ["-keyout", str(tmp_path / "k"), "-out", str(tmp_path / "c"), "-subj", "/CN=Old.test"]
    subprocess.run([*run, *files], check=True, capture_output=True)
    assert read_certificate(str(tmp_path / "c"), str(tmp_path / "k")).names == ("old.test",)


@pytest.mark.parametrize(
    ("cert", "key", "sentence"),
    [
        ("missing.pem", "a.key", r"cert: .*missing\.pem cannot be read: No such file"),
        ("a.pem", "missing.key", r"key: .*missing\.key cannot be read: No such file"),
        ("text.pem", "a.key", r"cert: .*text\.pem holds no certificate"),
        ("large.pem", "a.key", "larger than"),
        ("a.pem", "a.pem", r"key: .*a\.pem holds no private key"),
        ("a.pem", "encrypted.key", r"key: .*encrypted\.key is encrypted; decrypt it"),
        ("a.pem", "other.key", r"cert: .*a\.pem does not belong to the private key in .*other\.key"),
        ("broken.pem", "a.key", r"cert: .*broken\.pem cannot be used"),
        (".", "a.key", "cannot be read: Is a directory"),
    ],
)
def test_what_is_wrong_is_said(made: Path, cert: str, key: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as caught:
        read_certificate(str(made / cert), str(made / key))
    assert "PRIVATE KEY-----\nM" not in str(caught.value)
    assert "; " in str(caught.value)


def test_a_weak_key_is_refused(tmp_path: Path) -> None:
    run = ["openssl", "req", "-x509", "-newkey", "rsa:1024", "-nodes", "-days", "3", "-subj", "/CN=a"]
    files = ["-keyout", str(tmp_path / "k"), "-out", str(tmp_path / "c")]
    subprocess.run([*run, *files], check=True, capture_output=True)
    with pytest.raises(ValueError, match="is too weak for TLS today"):
        read_certificate(str(tmp_path / "c"), str(tmp_path / "k"))


def test_authorities(made: Path) -> None:
    found = read_authorities("client_ca", str(made / "authority.pem"))
    assert found.pem.startswith("-----BEGIN CERTIFICATE-----")
    for name in ("text.pem", "broken.pem"):
        with pytest.raises(ValueError, match=r"client_ca: .*holds no certificate that can be used"):
            read_authorities("client_ca", str(made / name))


def test_a_change_is_seen(made: Path, tmp_path: Path) -> None:
    for name in ("a.pem", "a.key", "other.pem", "other.key"):
        (tmp_path / name).write_bytes((made / name).read_bytes())
    sources = read_certificate(str(tmp_path / "a.pem"), str(tmp_path / "a.key")).sources
    assert current(sources) == sources
    (tmp_path / "other.pem").rename(tmp_path / "a.pem")
    changed = current(sources)
    assert [path for path in sources if changed[path] != sources[path]] == [str(tmp_path / "a.pem")]
    (tmp_path / "a.key").unlink()
    assert current(sources)[str(tmp_path / "a.key")] == b""
