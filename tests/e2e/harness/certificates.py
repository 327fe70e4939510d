"""A certificate authority and what it signs, made by the `openssl` program in a folder of a test."""

import os
import pathlib
import ssl
import subprocess


class Certificates:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        self.folder.mkdir(parents=True, exist_ok=True)
        self.ca = self.make_ca("ca")
        self.certificate, self.key = self.folder / "server.pem", self.folder / "server.key"
        self.renew()

    def _openssl(self, *arguments):
        done = subprocess.run(["openssl", *map(str, arguments)], cwd=self.folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    def make_ca(self, name):
        """The file of a new authority; its key lies beside it."""
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", 2,
                      "-subj", f"/CN=CodeQ test authority {name}", "-keyout", f"{name}.key", "-out", f"{name}.pem")
        return self.folder / f"{name}.pem"

    def issue(self, name, ca="ca", algorithm=("ec", "-pkeyopt", "ec_paramgen_curve:P-256")):
        """(certificate, key) for 127.0.0.1 and localhost, and good as a client's too."""
        certificate, key = self.folder / f"{name}.pem", self.folder / f"{name}.key"
        (self.folder / f"{name}.ext").write_text("subjectAltName=IP:127.0.0.1,DNS:localhost\nbasicConstraints=CA:FALSE\n")
        self._openssl("req", "-newkey", *algorithm, "-nodes", "-subj", f"/CN={name}", "-keyout", key,
                      "-out", f"{name}.csr")
        self._openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{ca}.pem", "-CAkey", f"{ca}.key", "-days", 1,
                      "-extfile", f"{name}.ext", "-out", certificate)
        return certificate, key

    def renew(self, **how):
        """A new pair in the server's files, as a renewal does it: each put in place by a rename, one after the other."""
        certificate, key = self.issue("next", **how)
        os.replace(certificate, self.certificate)
        os.replace(key, self.key)

    def settings(self, **more):
        return {"TLS_CERT_FILE": self.certificate, "TLS_KEY_FILE": self.key, **more}

    def client(self, pair=None):
        """An SSLContext that trusts the authority and nobody else; `pair`: what it shows of itself."""
        context = ssl.create_default_context(cafile=str(self.ca))
        if pair:
            context.load_cert_chain(*map(str, pair))
        return context

    def serial(self):
        """Of the certificate in the server's file, as Python's ssl tells a peer's."""
        done = subprocess.run(["openssl", "x509", "-in", self.certificate, "-noout", "-serial"], capture_output=True,
                              text=True, check=True)
        return done.stdout.strip().removeprefix("serial=")
