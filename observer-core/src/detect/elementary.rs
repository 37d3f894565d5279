//! `exp` and `ln` from IEEE arithmetic alone: reads a number, produces the same bits on every machine.
//!
//! The platform's own differ in the last place between C libraries, and a replay must give the same findings byte
//! for byte everywhere. Both are accurate to about 1e-13, far beyond what a fit to noisy levels can use.

const LN2: f64 = core::f64::consts::LN_2;

/// e to the power `x`; 0 below -700, and its value at 700 above.
pub fn exp(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x < -700.0 {
        return 0.0;
    }
    let x = x.min(700.0);
    let k = (x / LN2).round();
    let r = x - k * LN2;
    // |r| <= 0.35: the Taylor series to the 14th term is below 1e-17 there.
    let mut term = 1.0;
    let mut sum = 1.0;
    for i in 1..=14 {
        term *= r / f64::from(i);
        sum += term;
    }
    sum * f64::from_bits(((1023 + k as i64) as u64) << 52)
}

/// Natural logarithm of a positive, normal `x`; negative infinity at or below 0.
pub fn ln(x: f64) -> f64 {
    if x.is_nan() || x == f64::INFINITY {
        return x;
    }
    if x < f64::MIN_POSITIVE {
        return f64::NEG_INFINITY;
    }
    let bits = x.to_bits();
    let mut exponent = ((bits >> 52) as i64) - 1023;
    let mut mantissa = f64::from_bits((bits & ((1 << 52) - 1)) | (1023 << 52));
    if mantissa > core::f64::consts::SQRT_2 {
        mantissa /= 2.0;
        exponent += 1;
    }
    // ln m = 2 atanh((m - 1) / (m + 1)), |s| <= 0.172.
    let s = (mantissa - 1.0) / (mantissa + 1.0);
    let square = s * s;
    let mut power = s;
    let mut sum = 0.0;
    for i in 0..12 {
        sum += power / f64::from(2 * i + 1);
        power *= square;
    }
    exponent as f64 * LN2 + 2.0 * sum
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn agree_with_the_platform() {
        for i in -400..400 {
            let x = f64::from(i) * 0.37;
            assert!((exp(x) / x.exp() - 1.0).abs() < 1e-12, "exp {x}");
            let y = x.abs() + 1e-6;
            assert!((ln(y) - y.ln()).abs() < 1e-12 * (1.0 + y.ln().abs()), "ln {y}");
        }
        assert_eq!(exp(-1e9), 0.0);
        assert_eq!(ln(0.0), f64::NEG_INFINITY);
        assert!(exp(f64::NAN).is_nan() && ln(f64::NAN).is_nan());
    }
}
