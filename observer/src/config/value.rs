//! Values as people write them: reads the text of one setting, produces the typed value or what is wrong with it.

use std::{ops::RangeInclusive, time::Duration};

/// What is wrong with a value, and what to write instead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ValueError {
    /// What is wrong.
    pub(super) wrong: String,
    /// What to write instead.
    pub(super) remedy: String,
}

impl ValueError {
    /// Both halves of the sentence.
    pub(super) fn new(wrong: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self {
            wrong: wrong.into(),
            remedy: remedy.into(),
        }
    }
}

/// A number and its unit (`ms`, `s`, `m`, `h`), within a range.
pub(super) fn duration(text: &str, range: RangeInclusive<Duration>) -> Result<Duration, ValueError> {
    let remedy = || {
        format!(
            "write a number and ms, s, m or h, from {:?} to {:?}, such as `10s`",
            range.start(),
            range.end()
        )
    };
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
    let (number, unit) = text.split_at(digits);
    let seconds_per_unit = match unit.trim() {
        "ms" => 0.001,
        "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        "" => return Err(ValueError::new(format!("`{text}` has no unit"), remedy())),
        _ => return Err(ValueError::new(format!("`{text}` is not a duration"), remedy())),
    };
    let value = number
        .parse::<f64>()
        .ok()
        .and_then(|n| Duration::try_from_secs_f64(n * seconds_per_unit).ok())
        .ok_or_else(|| ValueError::new(format!("`{text}` is not a duration"), remedy()))?;
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(ValueError::new(format!("`{text}` is out of range"), remedy()))
    }
}

/// A number within a range.
pub(super) fn number(text: &str, range: RangeInclusive<f64>) -> Result<f64, ValueError> {
    let remedy = || format!("write a number from {} to {}", range.start(), range.end());
    let value: f64 = text
        .trim()
        .parse()
        .map_err(|_| ValueError::new(format!("`{text}` is not a number"), remedy()))?;
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(ValueError::new(format!("`{text}` is out of range"), remedy()))
    }
}

/// A whole number within a range.
pub(super) fn count(text: &str, range: RangeInclusive<usize>) -> Result<usize, ValueError> {
    let remedy = || format!("write a whole number from {} to {}", range.start(), range.end());
    let value: usize = text
        .trim()
        .parse()
        .map_err(|_| ValueError::new(format!("`{text}` is not a whole number"), remedy()))?;
    if range.contains(&value) {
        Ok(value)
    } else {
        Err(ValueError::new(format!("`{text}` is out of range"), remedy()))
    }
}

/// A number of bytes with its unit (`KiB`, `MiB`, `GiB`), within a range.
pub(super) fn bytes(text: &str, range: RangeInclusive<usize>) -> Result<usize, ValueError> {
    let remedy = || {
        format!(
            "write a whole number and KiB, MiB or GiB, from {} to {} bytes",
            range.start(),
            range.end()
        )
    };
    let text = text.trim();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let (number, unit) = text.split_at(digits);
    let shift = match unit.trim() {
        "KiB" => 10,
        "MiB" => 20,
        "GiB" => 30,
        _ => return Err(ValueError::new(format!("`{text}` has no unit of bytes"), remedy())),
    };
    let value = number
        .parse::<usize>()
        .ok()
        .and_then(|number| number.checked_mul(1 << shift));
    value
        .filter(|value| range.contains(value))
        .ok_or_else(|| ValueError::new(format!("`{text}` is out of range"), remedy()))
}

fn is_dns_character(byte: u8) -> bool {
    byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-'
}

/// A label as DNS has it (RFC 1123): what Kubernetes allows for a namespace.
fn is_dns_label(label: &str) -> bool {
    (1..=63).contains(&label.len())
        && label.bytes().all(is_dns_character)
        && !label.starts_with('-')
        && !label.ends_with('-')
}

/// Names of namespaces, each with its end left open by a `*` or not. A name that none can have is a mistake: it would let
/// in, or leave out, nothing.
pub(super) fn namespaces(text: &str) -> Result<Vec<String>, ValueError> {
    let names = text.split(',').map(str::trim).filter(|name| !name.is_empty());
    let name = |name: &str| {
        let good = match name.strip_suffix('*') {
            Some(beginning) => {
                beginning.len() < 63 && beginning.bytes().all(is_dns_character) && !beginning.starts_with('-')
            }
            None => is_dns_label(name),
        };
        let wrong = || {
            ValueError::new(
                format!("`{name}` is no name of a namespace"),
                "lower-case letters, digits and dashes, as `kubectl get namespaces` shows it; a * at the end stands for any ending",
            )
        };
        good.then(|| name.to_owned()).ok_or_else(wrong)
    };
    names.map(name).collect()
}

/// A name as DNS has it (RFC 1123): what Kubernetes allows for a node. It becomes part of a selector.
pub(super) fn dns_name(text: &str) -> Result<String, ValueError> {
    if text.len() <= 253 && text.split('.').all(is_dns_label) {
        Ok(text.to_owned())
    } else {
        Err(ValueError::new(
            "no name of a node",
            "lower-case letters, digits, dashes and dots, as `kubectl get nodes` shows it",
        ))
    }
}

/// `true` or `false`, in any case.
pub(super) fn boolean(text: &str) -> Result<bool, ValueError> {
    match text.trim().to_ascii_lowercase().as_str() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(ValueError::new(
            format!("`{text}` is neither true nor false"),
            "write one of them",
        )),
    }
}

/// One of a few words.
pub(super) fn choice<T: Copy>(text: &str, choices: &[(&str, T)]) -> Result<T, ValueError> {
    let wanted = text.trim().to_ascii_lowercase();
    choices
        .iter()
        .find(|(name, _)| *name == wanted)
        .map(|(_, value)| *value)
        .ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            ValueError::new(
                format!("`{text}` is not known"),
                format!("write one of {}", names.join(", ")),
            )
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const RANGE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_mins(1);

    #[test]
    fn durations() {
        assert_eq!(duration("10s", RANGE), Ok(Duration::from_secs(10)));
        assert_eq!(duration("0.5 s", RANGE), Ok(Duration::from_millis(500)));
        assert_eq!(duration("1m", RANGE), Ok(Duration::from_mins(1)));
        for bad in ["10", "-1s", "1d", "s", "", "1e3s", "2m", "99ms", "1.1.1s"] {
            assert!(duration(bad, RANGE).is_err(), "{bad}");
        }
    }

    #[test]
    fn sizes() {
        let range = 64 << 10..=1 << 30;
        assert_eq!(bytes("16MiB", range.clone()), Ok(16 << 20));
        for bad in [
            "16",
            "16MB",
            "MiB",
            "1KiB",
            "99999999999999999999GiB",
            "18446744073709551615GiB",
            "-1MiB",
        ] {
            assert!(bytes(bad, range.clone()).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_of_namespaces() {
        let names = |text| namespaces(text).map(|names| names.join(" "));
        assert_eq!(names("shop, kube-* ,*,"), Ok("shop kube-* *".to_owned()));
        for bad in [
            "Shop",
            "shop_1",
            "-shop",
            "shop-",
            "*-system",
            "a*b",
            "shop/api",
            &"a".repeat(64),
        ] {
            assert!(namespaces(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn numbers_refuse_nan() {
        assert!(number("NaN", 0.0..=1.0).is_err());
        assert!(number("inf", 0.0..=1.0).is_err());
        assert_eq!(number("0.8", 0.0..=1.0), Ok(0.8));
    }
}
