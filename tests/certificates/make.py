"""Makes the certificates in this folder anew: `python make.py`, which needs `cryptography`."""

import ipaddress
from datetime import datetime
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

HERE = Path(__file__).parent
BEGIN = datetime(2000, 1, 1)
END = datetime(2100, 1, 1)


def named(common_name):
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def pem(key, *certificates):
    secret = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return secret + b"".join(
        certificate.public_bytes(serialization.Encoding.PEM) for certificate in certificates
    )


def usage(**wanted):
    every = (
        *("digital_signature", "content_commitment", "key_encipherment", "data_encipherment"),
        *("key_agreement", "key_cert_sign", "crl_sign", "encipher_only", "decipher_only"),
    )
    return x509.KeyUsage(**{name: wanted.get(name, False) for name in every})


def issue(name, hosts=(), *, issuer=None, authority=False, client=False, end=END):
    """A key and its certificate, signed by `issuer`, a pair of the same kind, or by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    signer, parent = issuer or (key, None)
    builder = (
        x509.CertificateBuilder()
        .subject_name(named(name))
        .issuer_name(named(name) if parent is None else parent.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(BEGIN)
        .not_valid_after(end)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), False
        )
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), True)
    )
    if authority:
        builder = builder.add_extension(usage(key_cert_sign=True, crl_sign=True), True)
    else:
        kind = ExtendedKeyUsageOID.CLIENT_AUTH if client else ExtendedKeyUsageOID.SERVER_AUTH
        builder = builder.add_extension(usage(digital_signature=True), True)
        builder = builder.add_extension(x509.ExtendedKeyUsage([kind]), False)
    if hosts:
        builder = builder.add_extension(x509.SubjectAlternativeName(hosts), False)
    return key, builder.sign(signer, hashes.SHA256())


def main():
    local = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    authority = issue("ringlet's tests", authority=True)
    (HERE / "authority.pem").write_bytes(authority[1].public_bytes(serialization.Encoding.PEM))
    made = {
        "server": issue("localhost", local, issuer=authority),
        "other": issue("other.test", [x509.DNSName("other.test")], issuer=authority),
        "client": issue("somebody", issuer=authority, client=True),
        "expired": issue("localhost", local, issuer=authority, end=datetime(2001, 1, 1)),
        "stranger": issue("localhost", local),
    }
    for name, pair in made.items():
        (HERE / f"{name}.pem").write_bytes(pem(*pair))


if __name__ == "__main__":
    main()
