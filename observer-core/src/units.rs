//! Bytes, durations and rates as people write them.

/// `487 MiB`; binary units, since limits are set in them.
pub fn bytes(bytes: u64) -> String {
    let bytes = bytes as f64;
    for (unit, size) in [("GiB", 1_073_741_824.0), ("MiB", 1_048_576.0), ("KiB", 1_024.0)] {
        if bytes >= size {
            let value = bytes / size;
            return if value < 9.95 {
                format!("{value:.1} {unit}")
            } else {
                format!("{value:.0} {unit}")
            };
        }
    }
    format!("{bytes:.0} B")
}

/// `74 MiB/h`, `1.2 GiB/h`, `-3.0 MiB/h`; per minute where an hour of it would be meaningless to read.
pub fn rate(bytes_per_hour: f64) -> String {
    if !bytes_per_hour.is_finite() {
        return "an unknown rate".to_owned();
    }
    let sign = if bytes_per_hour < 0.0 { "-" } else { "" };
    let size = bytes_per_hour.abs();
    if size >= 4.0 * 1_073_741_824.0 {
        format!("{sign}{}/min", bytes((size / 60.0) as u64))
    } else {
        format!("{sign}{}/h", bytes(size as u64))
    }
}

/// `43 s`, `12 min`, `6 h 5 min`, `3 d 4 h`.
pub fn seconds(seconds: f64) -> String {
    if !seconds.is_finite() || seconds < 0.0 {
        return "an unknown time".to_owned();
    }
    let whole = seconds.round() as u64;
    let (days, hours, minutes) = (whole / 86_400, whole % 86_400 / 3_600, whole % 3_600 / 60);
    match (days, hours, minutes) {
        (0, 0, 0) if seconds < 9.95 => format!("{seconds:.1} s"),
        (0, 0, 0) => format!("{whole} s"),
        (0, 0, m) if m < 10 && !whole.is_multiple_of(60) => format!("{m} min {} s", whole % 60),
        (0, 0, m) => format!("{m} min"),
        (0, h, 0) => format!("{h} h"),
        (0, h, m) => format!("{h} h {m} min"),
        (d, 0, _) => format!("{d} d"),
        (d, h, _) => format!("{d} d {h} h"),
    }
}

/// `88 %`
pub fn percent(ratio: f64) -> String {
    format!("{:.0} %", ratio * 100.0)
}
