//! Reads a Kubernetes quantity (`128Mi`, `1.5G`, `1e9`, `134217728000m`), produces bytes.
//!
//! Grammar: apimachinery, pkg/api/resource/quantity.go: a decimal number, then a suffix of powers of 1024 or of 1000, or
//! an exponent.

/// Bytes, rounded up as Kubernetes does; `None` for what is no quantity, negative, or beyond 64 bits.
pub(super) fn bytes(text: &str) -> Option<u64> {
    let number = text
        .bytes()
        .position(|b| !b.is_ascii_digit() && b != b'.')
        .unwrap_or(text.len());
    let (number, suffix) = text.split_at(number);
    let value: f64 = number.parse().ok()?;
    let factor = match suffix {
        "" => 1.0,
        "n" => 1e-9,
        "u" => 1e-6,
        "m" => 1e-3,
        "k" => 1e3,
        "M" => 1e6,
        "G" => 1e9,
        "T" => 1e12,
        "P" => 1e15,
        "E" => 1e18,
        "Ki" => 1024_f64,
        "Mi" => 1024_f64.powi(2),
        "Gi" => 1024_f64.powi(3),
        "Ti" => 1024_f64.powi(4),
        "Pi" => 1024_f64.powi(5),
        "Ei" => 1024_f64.powi(6),
        _ => 10_f64.powi(suffix.strip_prefix(['e', 'E'])?.parse().ok()?),
    };
    let bytes = (value * factor).ceil();
    (bytes.is_finite() && bytes < u64::MAX as f64).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_suffix() {
        for (text, expected) in [
            ("134217728", Some(134_217_728)),
            ("128Mi", Some(128 << 20)),
            ("1Gi", Some(1 << 30)),
            ("1.5Gi", Some(3 << 29)),
            ("0.5Ki", Some(512)),
            ("500M", Some(500_000_000)),
            ("1G", Some(1_000_000_000)),
            ("100k", Some(100_000)),
            ("1e9", Some(1_000_000_000)),
            ("1E3", Some(1000)),
            ("1E", Some(1_000_000_000_000_000_000)),
            ("128974848000m", Some(128_974_848)),
            ("1m", Some(1)),
            ("0", Some(0)),
            ("", None),
            ("Mi", None),
            ("-1", None),
            ("1KB", None),
            ("1e400", None),
            ("16Ei", None),
            ("nan", None),
        ] {
            assert_eq!(bytes(text), expected, "{text}");
        }
    }
}
