//! `exp` and `ln` from IEEE arithmetic alone: reads a number, produces the same bits on every machine.
//!
//! The platform's own differ in the last place between C libraries, and a replay must give the same findings byte
//! for byte everywhere. Both are accurate to about 1e-13, far beyond what a fit to noisy levels can use.

const LN2: f64 = core::f64::consts::LN_2;

/// 1 / i!, from 14 down to 0. Products by constants: divisions would take most of the time of a fit.
const FACTORIALS: [f64; 15] = inverse_factorials();
/// 1 / (2 i + 1), from 11 down to 0.
const ODDS: [f64; 12] = inverse_odds();

const fn inverse_factorials() -> [f64; 15] {
    let mut inverse = [1.0; 15];
    let (mut i, mut factorial) = (1, 1.0);
    while i < 15 {
        factorial *= i as f64;
        inverse[14 - i] = 1.0 / factorial;
        i += 1;
    }
    inverse
}

const fn inverse_odds() -> [f64; 12] {
    let mut inverse = [1.0; 12];
    let mut i = 0;
    while i < 12 {
        inverse[11 - i] = 1.0 / (2 * i + 1) as f64;
        i += 1;
    }
    inverse
}

/// e to the power `x`; 0 below -700, and its value at 700 above.
pub(super) fn exp(x: f64) -> f64 {
    if x.is_nan() {
        return x;
    }
    if x < -700.0 {
        return 0.0;
    }
    let x = x.min(700.0);
    let k = (x * core::f64::consts::LOG2_E + 0.5f64.copysign(x)) as i64;
    let r = x - k as f64 * LN2;
    // |r| <= 0.35: the Taylor series to the 14th term is below 1e-17 there.
    let sum = FACTORIALS.iter().fold(0.0, |sum, inverse| sum * r + inverse);
    sum * f64::from_bits(((1023 + k) as u64) << 52)
}

/// Natural logarithm of a positive, normal `x`; negative infinity at or below 0.
pub(super) fn ln(x: f64) -> f64 {
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
    let sum = s * ODDS.iter().fold(0.0, |sum, inverse| sum * square + inverse);
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
