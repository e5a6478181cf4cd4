"""OpenSSL's DTLS and libsrtp without a socket, which a test has: one JSON object a line in, one out. Bytes are in hex."""

import datetime
import json
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from OpenSSL import SSL
from pylibsrtp import Error, Policy, Session

# By the names of SDES and of OpenSSL; with the bytes of a key and a salt.
PROFILES = {
    "AES_CM_128_HMAC_SHA1_80": ("SRTP_AES128_CM_SHA1_80", Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 16, 14),
    "AES_CM_128_HMAC_SHA1_32": ("SRTP_AES128_CM_SHA1_32", Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 16, 14),
    "AEAD_AES_128_GCM": ("SRTP_AEAD_AES_128_GCM", Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 16, 12),
    "AEAD_AES_256_GCM": ("SRTP_AEAD_AES_256_GCM", Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 32, 12),
}
VERSIONS = {"1.0": 0xFEFF, "1.2": 0xFEFD}
HASHES = {"sha-1": hashes.SHA1, "sha-224": hashes.SHA224, "sha-256": hashes.SHA256, "sha-384": hashes.SHA384}
HASHES["sha-512"] = hashes.SHA512
EXPORTER = b"EXTRACTOR-dtls_srtp"


def session(profile, key, kind):
    return Session(Policy(key=key, ssrc_type=kind, srtp_profile=PROFILES[profile][1]))


def certificate(kind):
    curves = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1}
    key = rsa.generate_private_key(65537, 2048) if kind == "RSA" else ec.generate_private_key(curves[kind]())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "peer")])
    now = datetime.datetime.now(datetime.timezone.utc)
    day = datetime.timedelta(days=1)
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    builder = builder.serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(now - day).not_valid_after(now + day)
    return key, builder.sign(key, hashes.SHA384() if kind == "P-384" else hashes.SHA256())


class Dtls:
    def __init__(self, order):
        self.is_client, self.error, self.connected = order["role"] == "client", None, None
        key, cert = certificate(order["key"])
        self.fingerprint = cert.fingerprint(HASHES[order["hash"]]()).hex(":").upper()
        context = SSL.Context(SSL.DTLS_METHOD)
        version = VERSIONS[order["version"]]
        context.set_min_proto_version(version)
        context.set_max_proto_version(version)
        context.set_cipher_list(order["ciphers"].encode())
        context.use_privatekey(key)
        context.use_certificate(cert)
        context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT, lambda *_: True)
        profiles = [PROFILES[name][0] for name in order["profiles"]]
        context.set_tlsext_use_srtp(":".join(profiles).encode())
        context.set_options(SSL.OP_NO_QUERY_MTU)
        self.ssl = SSL.Connection(context)
        self.ssl.set_ciphertext_mtu(order["mtu"])
        self.ssl.set_connect_state() if self.is_client else self.ssl.set_accept_state()

    def turn(self, datagrams):
        for datagram in [bytes.fromhex(it) for it in datagrams] or [b""]:
            if datagram:
                self.ssl.bio_write(datagram)
            self.step()
        if self.ssl.DTLSv1_get_timeout() == 0:
            self.ssl.DTLSv1_handle_timeout()

    def step(self):
        try:
            if self.connected:
                self.ssl.recv(4096)
            elif not self.error:
                self.ssl.do_handshake()
                self.finish()
        except (SSL.WantReadError, SSL.ZeroReturnError):
            pass
        except SSL.Error as error:
            self.error = str(error)

    def finish(self):
        chosen = self.ssl.get_selected_srtp_profile().decode()
        name = next(name for name, profile in PROFILES.items() if profile[0] == chosen)
        key, salt = PROFILES[name][2:]
        material = self.ssl.export_keying_material(EXPORTER, 2 * (key + salt))
        keys = [material[i * key : i * key + key] for i in (0, 1)]
        salts = [material[2 * key + i * salt : 2 * key + i * salt + salt] for i in (0, 1)]
        ours, theirs = (0, 1) if self.is_client else (1, 0)
        self.keys = name, keys[ours] + salts[ours], keys[theirs] + salts[theirs]
        peer = self.ssl.get_peer_certificate().to_cryptography()
        self.connected = {
            "profile": name,
            "cipher": self.ssl.get_cipher_name(),
            "peer": {name: peer.fingerprint(hash()).hex(":").upper() for name, hash in HASHES.items()},
        }

    def output(self):
        """A datagram for each record: the BIO does not keep them apart."""
        try:
            records = self.ssl.bio_read(1 << 16)
        except SSL.WantReadError:
            return []
        out = []
        while records:
            end = 13 + int.from_bytes(records[11:13], "big")
            out.append(records[:end].hex())
            records = records[end:]
        return out


class Party:
    def start_srtp(self, profile, sends, opens):
        self.seal = session(profile, sends, Policy.SSRC_ANY_OUTBOUND)
        self.open = session(profile, opens, Policy.SSRC_ANY_INBOUND)

    def do(self, order):
        what = order["do"]
        if what == "srtp":
            self.start_srtp(order["profile"], bytes.fromhex(order["sends"]), bytes.fromhex(order["opens"]))
            return {}
        if what in ("seal", "open"):
            packet = bytes.fromhex(order["packet"])
            is_rtcp = 192 <= packet[1] <= 223
            if what == "seal":
                change = self.seal.protect_rtcp if is_rtcp else self.seal.protect
            else:
                change = self.open.unprotect_rtcp if is_rtcp else self.open.unprotect
            try:
                return {"packet": change(packet).hex()}
            except Error as error:
                return {"error": str(error)}
        if what == "dtls":
            self.dtls = Dtls(order)
            return {"fingerprint": self.dtls.fingerprint}
        if what == "turn":
            was_connected = self.dtls.connected
            self.dtls.turn(order["datagrams"])
            if self.dtls.connected and not was_connected:
                self.start_srtp(*self.dtls.keys)
            return {"send": self.dtls.output(), "connected": self.dtls.connected, "error": self.dtls.error}
        raise ValueError(what)


party = Party()
for line in sys.stdin:
    print(json.dumps(party.do(json.loads(line))), flush=True)
