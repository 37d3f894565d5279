//! Certificates of a test: reads a directory, produces an authority and what it signed, made with openssl.

use std::{path::Path, process::Command};

use anyhow::{Context as _, Result, ensure};

/// `ca.pem`, and `server` and `client` under it (`.pem`, `.key`), for `localhost` and 127.0.0.1.
pub fn certificates(directory: &Path) -> Result<()> {
    let script = "
        openssl req -x509 -newkey rsa:2048 -nodes -keyout ca.key -out ca.pem -days 2 -subj /CN=authority 2>&1
        for name in server client; do
            openssl req -newkey rsa:2048 -nodes -keyout $name.key -out $name.csr -subj /CN=$name 2>&1
            printf 'subjectAltName=DNS:localhost,IP:127.0.0.1\\nbasicConstraints=CA:FALSE\\n' > $name.ext
            openssl x509 -req -in $name.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -extfile $name.ext -out $name.pem 2>&1
        done";
    let output = Command::new("sh")
        .args(["-ec", script])
        .current_dir(directory)
        .output()
        .context("cannot start sh")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    Ok(())
}
