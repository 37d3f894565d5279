//! Statistics of a stretch: reads points, produces slopes with intervals and the variance they really have.
//!
//! Sources: Theil (1950) and Sen (1968) for the slope and its interval from Kendall's S; Kendall (1975) for the variance of
//! S; Hamed and Rao (1998) for inflating that variance under autocorrelation, here by (1 + rho) / (1 - rho).

/// z of a two-sided 99 % interval.
const Z99: f64 = 2.576;
/// z of a two-sided 80 % interval: p10 to p90.
const Z80: f64 = 1.282;
/// Most the variance is inflated: beyond it nothing of 48 points would ever be significant.
const MAX_INFLATION: f64 = 12.0;

/// A straight line by least squares.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Line {
    /// Level at x = 0.
    pub intercept: f64,
    /// Change per unit of x.
    pub slope: f64,
    /// Sum of squared residuals.
    pub rss: f64,
    /// Lag-1 autocorrelation of the residuals, 0 to 1.
    pub rho: f64,
}

/// Least squares of `y` on 1 and `x`; `None` below 3 points or where x does not vary.
pub fn line(x: &[f64], y: &[f64]) -> Option<Line> {
    let n = x.len().min(y.len());
    if n < 3 {
        return None;
    }
    let (mx, my) = (mean(&x[..n]), mean(&y[..n]));
    let (mut sxx, mut sxy) = (0.0, 0.0);
    for (a, b) in x.iter().zip(y) {
        sxx += (a - mx) * (a - mx);
        sxy += (a - mx) * (b - my);
    }
    if sxx <= 0.0 {
        return None;
    }
    let slope = sxy / sxx;
    let intercept = my - slope * mx;
    let (rss, rho) = residuals(n, |i| y[i] - intercept - slope * x[i]);
    Some(Line {
        intercept,
        slope,
        rss,
        rho,
    })
}

/// Sum of squares of `n` residuals, and their lag-1 autocorrelation, 0 to 0.99.
fn residuals(n: usize, residual: impl Fn(usize) -> f64) -> (f64, f64) {
    let (mut rss, mut lagged, mut before) = (0.0, 0.0, 0.0);
    for i in 0..n {
        let r = residual(i);
        rss += r * r;
        lagged += r * before;
        before = r;
    }
    let rho = if rss > 0.0 {
        (lagged / rss).clamp(0.0, 0.99)
    } else {
        0.0
    };
    (rss, rho)
}

/// Factor by which lag-1 autocorrelation inflates a variance, at most `MAX_INFLATION`.
pub fn inflation(rho: f64) -> f64 {
    ((1.0 + rho) / (1.0 - rho)).clamp(1.0, MAX_INFLATION)
}

/// Mean; 0 of nothing.
pub fn mean(values: &[f64]) -> f64 {
    if values.is_empty() {
        0.0
    } else {
        values.iter().sum::<f64>() / values.len() as f64
    }
}

/// Median of `values`, which are reordered; 0 of nothing.
pub fn median(values: &mut [f64]) -> f64 {
    quantile(values, 0.5)
}

/// The middle one of `values`, of an even number of them the mean of the two in the middle; reorders them; 0 of nothing.
pub fn middle(values: &mut [f64]) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    let half = values.len() / 2;
    match (values.get(half.wrapping_sub(1)), values.get(half)) {
        (Some(below), Some(above)) if values.len().is_multiple_of(2) => f64::midpoint(*below, *above),
        (_, Some(middle)) => *middle,
        _ => 0.0,
    }
}

/// The value at share `q` of `values`, which are reordered; 0 of nothing.
pub fn quantile(values: &mut [f64], q: f64) -> f64 {
    if values.is_empty() {
        return 0.0;
    }
    let at = (q.clamp(0.0, 1.0) * (values.len() - 1) as f64).round() as usize;
    *values.select_nth_unstable_by(at, f64::total_cmp).1
}

/// A Theil-Sen slope with its intervals.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Slope {
    /// Median of all pairs' slopes.
    pub median: f64,
    /// 99 % interval.
    pub interval99: (f64, f64),
    /// 80 % interval.
    pub interval80: (f64, f64),
    /// Kendall's S over its inflated standard deviation.
    pub z: f64,
}

/// Theil-Sen slope of `y` over `x`, with Kendall's variance inflated for residuals of lag-1 autocorrelation `rho`.
pub fn theil_sen(x: &[f64], y: &[f64], rho: f64) -> Option<Slope> {
    let n = x.len().min(y.len());
    if n < 4 {
        return None;
    }
    let mut slopes = Vec::with_capacity(n * (n - 1) / 2);
    let mut s = 0i64;
    for i in 0..n {
        for j in i + 1..n {
            let (dx, dy) = (x[j] - x[i], y[j] - y[i]);
            s += i64::from(dy > 0.0) - i64::from(dy < 0.0);
            if dx > 0.0 {
                slopes.push(dy / dx);
            }
        }
    }
    if slopes.is_empty() {
        return None;
    }
    let count = n as f64;
    let deviation = (count * (count - 1.0) * (2.0 * count + 5.0) / 18.0 * inflation(rho)).sqrt();
    let total = slopes.len() as f64;
    let mut interval = |z: f64| {
        let reach = z * deviation / total / 2.0;
        (quantile(&mut slopes, 0.5 - reach), quantile(&mut slopes, 0.5 + reach))
    };
    // An interval wider than the data reaches its ends and says so by including them.
    let interval99 = interval(Z99);
    let interval80 = interval(Z80);
    Some(Slope {
        median: quantile(&mut slopes, 0.5),
        interval99,
        interval80,
        z: s as f64 / deviation,
    })
}

/// `y` on 1, `x` and `z`.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Plane {
    /// Coefficient of `x`.
    pub slope: f64,
    /// That coefficient over its standard error, inflated for autocorrelation.
    pub t: f64,
    /// Coefficient of `z`.
    pub load: f64,
    /// Lowest `y` over the range of `x` where `z` is 0, as a share of its mean.
    pub without: f64,
    /// Sum of squared residuals.
    pub rss: f64,
}

/// Least squares of `y` on 1, `x` and `z`; `None` below 6 points or where x and z cannot be told apart.
pub fn plane(x: &[f64], z: &[f64], y: &[f64]) -> Option<Plane> {
    let n = x.len().min(y.len()).min(z.len());
    if n < 6 {
        return None;
    }
    let (mx, mz, my) = (mean(&x[..n]), mean(&z[..n]), mean(&y[..n]));
    let (mut sxx, mut szz, mut sxz, mut sxy, mut szy) = (0.0, 0.0, 0.0, 0.0, 0.0);
    for i in 0..n {
        let (a, b, c) = (x[i] - mx, z[i] - mz, y[i] - my);
        sxx += a * a;
        szz += b * b;
        sxz += a * b;
        sxy += a * c;
        szy += b * c;
    }
    let determinant = sxx * szz - sxz * sxz;
    if sxx <= 0.0 || szz <= 0.0 || determinant <= 1e-9 * sxx * szz {
        return None;
    }
    let slope = (sxy * szz - szy * sxz) / determinant;
    let load = (szy * sxx - sxy * sxz) / determinant;
    let (rss, rho) = residuals(n, |i| y[i] - my - slope * (x[i] - mx) - load * (z[i] - mz));
    let variance = rss / (n as f64 - 3.0) * szz / determinant * inflation(rho);
    let t = if variance > 0.0 {
        slope / variance.sqrt()
    } else {
        1e6 * slope.signum()
    };
    Some(Plane {
        slope,
        t,
        load,
        without: if my > 0.0 {
            (my - load * mz + (slope * (x[0] - mx)).min(slope * (x[n - 1] - mx))) / my
        } else {
            0.0
        },
        rss,
    })
}

/// Pearson's correlation; 0 where either does not vary.
pub fn correlation(a: &[f64], b: &[f64]) -> f64 {
    let n = a.len().min(b.len());
    let (ma, mb) = (mean(&a[..n]), mean(&b[..n]));
    let (mut sab, mut saa, mut sbb) = (0.0, 0.0, 0.0);
    for (x, y) in a.iter().zip(b) {
        sab += (x - ma) * (y - mb);
        saa += (x - ma) * (x - ma);
        sbb += (y - mb) * (y - mb);
    }
    if saa > 0.0 && sbb > 0.0 {
        sab / (saa * sbb).sqrt()
    } else {
        0.0
    }
}

/// Whether two positive numbers lie within a factor of each other.
pub fn within(a: f64, b: f64, factor: f64) -> bool {
    a > 0.0 && b > 0.0 && a <= b * factor && b <= a * factor
}

/// To six significant digits: what lies beyond them is rounding, not measurement.
pub fn round(value: f64) -> f64 {
    if value == 0.0 || !value.is_finite() {
        return if value.is_finite() { value } else { 0.0 };
    }
    let mut scale = 1.0;
    let magnitude = value.abs();
    while magnitude * scale < 1e5 && scale < 1e30 {
        scale *= 10.0;
    }
    while magnitude * scale >= 1e6 && scale > 1e-30 {
        scale /= 10.0;
    }
    (value * scale).round() / scale
}

/// How few of `steps`, which are sorted, the largest first, hold this share of their sum; 0 where there are none.
pub fn fewest_that_hold(steps: &mut [f64], share: f64) -> usize {
    let wanted = share * steps.iter().sum::<f64>();
    steps.sort_unstable_by(|a, b| b.total_cmp(a));
    let mut held = 0.0;
    let enough = steps.iter().position(|step| {
        held += step;
        held >= wanted
    });
    enough.map_or(0, |at| at + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn xs(n: usize) -> Vec<f64> {
        (0..n).map(|i| i as f64).collect()
    }

    #[test]
    fn the_middle_of_two_lies_between_them() {
        assert_eq!(middle(&mut [85.0, 77.0]), 81.0);
        assert_eq!(middle(&mut [9.0, 1.0, 2.0]), 2.0);
        assert_eq!(middle(&mut []), 0.0);
    }

    #[test]
    fn theil_sen_ignores_outliers_that_least_squares_follows() {
        let x = xs(30);
        let mut y: Vec<f64> = x.iter().map(|x| 5.0 + 2.0 * x).collect();
        y[3] = 900.0;
        y[28] = -900.0;
        let slope = theil_sen(&x, &y, 0.0).unwrap();
        assert!((slope.median - 2.0).abs() < 1e-9);
        assert!(slope.interval99.0 > 1.0 && slope.interval99.1 < 3.0, "{slope:?}");
        assert!(line(&x, &y).unwrap().slope < 0.0);
    }

    #[test]
    fn autocorrelation_widens_the_interval() {
        let x = xs(48);
        let y: Vec<f64> = x.iter().map(|x| 0.05 * x + (x * 0.9).sin()).collect();
        let narrow = theil_sen(&x, &y, 0.0).unwrap();
        let wide = theil_sen(&x, &y, 0.9).unwrap();
        assert!(wide.interval99.0 < narrow.interval99.0 && wide.interval99.1 > narrow.interval99.1);
        assert!(wide.z < narrow.z);
    }

    #[test]
    fn the_plane_tells_load_from_time() {
        let x = xs(60);
        let z: Vec<f64> = x.iter().map(|x| (x * 0.3).sin() + 0.01 * x).collect();
        let y: Vec<f64> = z.iter().map(|z| 7.0 + 3.0 * z).collect();
        let plane = plane(&x, &z, &y).unwrap();
        assert!(plane.slope.abs() < 1e-6 && (plane.load - 3.0).abs() < 1e-6, "{plane:?}");
    }

    #[test]
    fn degenerate_inputs_give_nothing() {
        assert_eq!(line(&[1.0, 1.0, 1.0], &[1.0, 2.0, 3.0]), None);
        assert_eq!(theil_sen(&[], &[], 0.0), None);
        assert_eq!(plane(&xs(10), &xs(10), &xs(10)), None);
        assert_eq!(median(&mut []), 0.0);
    }
}
