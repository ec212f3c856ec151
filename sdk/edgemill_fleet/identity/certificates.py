"""What certificates of the fleet say. Pure: keys and times come in, certificates come out.

They follow RFC 5280: P-256 keys, ECDSA with SHA-256. A box's certificate is for clients alone, the server's for servers
alone, so that no box can pass for the fleet.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from edgemill_core.errors import InputError

AHEAD = timedelta(hours=1)
"""A clock may be behind ours by so much."""
Key = ec.EllipticCurvePrivateKey


def new_key() -> Key:
    """P-256."""
    return ec.generate_private_key(ec.SECP256R1())


def key_bytes(key: Key) -> bytes:
    """PEM, not encrypted."""
    pem, form = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    return key.private_bytes(pem, form, serialization.NoEncryption())


def name_of(common: str) -> x509.Name:
    """A name that says no more than who."""
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def common_name(name: x509.Name) -> str:
    """The first; empty if there is none."""
    found = name.get_attributes_for_oid(NameOID.COMMON_NAME)
    return str(found[0].value) if found else ""


def authority_certificate(key: Key, name: str, now: datetime, holds: timedelta) -> x509.Certificate:
    """The CA's own: it signs for boxes, servers and what is revoked, and for no other CA."""
    usage = _usage(key_cert_sign=True, crl_sign=True)
    builder = (
        _begun(name_of(name), name_of(name), key.public_key(), now, holds)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )
    return builder.sign(key, hashes.SHA256())


def client_certificate(
    ca: x509.Certificate, key: Key, who: str, public: ec.EllipticCurvePublicKey, now: datetime, holds: timedelta
) -> x509.Certificate:
    """For who connects, to the server and to the broker."""
    return _signed(key, _begun(name_of(who), ca.subject, public, now, holds), ExtendedKeyUsageOID.CLIENT_AUTH)


def server_certificate(
    ca: x509.Certificate,
    key: Key,
    names: Iterable[str],
    public: ec.EllipticCurvePublicKey,
    now: datetime,
    holds: timedelta,
) -> x509.Certificate:
    """For who is connected to, under any of ``names`` (host names and addresses)."""
    known = list(names)
    builder = _begun(name_of(known[0][:64]), ca.subject, public, now, holds).add_extension(
        x509.SubjectAlternativeName([_general(one) for one in known]), critical=False
    )
    return _signed(key, builder, ExtendedKeyUsageOID.SERVER_AUTH)


def revocation_list(
    ca: x509.Certificate, key: Key, revoked: Mapping[int, datetime], now: datetime, holds: timedelta
) -> bytes:
    """PEM of the serial numbers that count no more, each with when that was."""
    builder = (
        x509.CertificateRevocationListBuilder(ca.subject, now - AHEAD, now + holds)
        .add_extension(x509.CRLNumber(int(now.timestamp())), critical=False)
        .add_extension(_issuer(key), critical=False)
    )
    for serial, since in sorted(revoked.items()):
        builder = builder.add_revoked_certificate(
            x509.RevokedCertificateBuilder().serial_number(serial).revocation_date(since).build()
        )
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def requested_key(csr: str) -> ec.EllipticCurvePublicKey:
    """The key that a certificate is asked for; the request is signed with it. Of what else it says nothing counts.

    Raises:
        InputError: it is no PKCS #10 of a P-256 key, or not signed with it.
    """
    try:
        request = x509.load_pem_x509_csr(csr.encode())
        key, whole = request.public_key(), request.is_signature_valid
    except (ValueError, TypeError, UnsupportedAlgorithm, x509.InvalidVersion) as error:
        raise _no_request(str(error)[:200] or type(error).__name__) from error
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise _no_request("a key of another kind")
    if not whole:
        raise _no_request("a signature that does not fit")
    return key


def is_from(ca: x509.Certificate, certificate: x509.Certificate) -> bool:
    """Whether the CA signed it; whether it still holds is another question."""
    try:
        certificate.verify_directly_issued_by(ca)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def pem_of(certificate: x509.Certificate) -> str:
    """As text."""
    return certificate.public_bytes(serialization.Encoding.PEM).decode()


def public_bytes(key: ec.EllipticCurvePublicKey) -> bytes:
    """The same for the same key, to compare."""
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _begun(
    subject: x509.Name, issuer: x509.Name, public: ec.EllipticCurvePublicKey, now: datetime, holds: timedelta
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder(issuer, subject, public, x509.random_serial_number())
        .not_valid_before(now - AHEAD)
        .not_valid_after(now + holds)
    )


def _signed(key: Key, builder: x509.CertificateBuilder, purpose: x509.ObjectIdentifier) -> x509.Certificate:
    return (
        builder.add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(digital_signature=True), critical=True)
        .add_extension(x509.ExtendedKeyUsage([purpose]), critical=False)
        .add_extension(_issuer(key), critical=False)
        .sign(key, hashes.SHA256())
    )


def _usage(**said: bool) -> x509.KeyUsage:
    every = "digital_signature content_commitment key_encipherment data_encipherment key_agreement"
    every += " key_cert_sign crl_sign encipher_only decipher_only"
    return x509.KeyUsage(**{**dict.fromkeys(every.split(), False), **said})


def _issuer(key: Key) -> x509.AuthorityKeyIdentifier:
    return x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key())


def _general(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _no_request(got: str) -> InputError:
    return InputError(
        "this is no request for a certificate",
        expected="PKCS #10 in PEM, of a P-256 key and signed with it",
        got=got,
        fix="make it on the box: edgemill agent enrol",
    )
