//! Which curve a stretch follows: reads points, produces the best straight, slowing and quickening curve.
//!
//! A cache that fills and a leak both rise. They differ in whether the rise leads anywhere: each family's best fit is
//! carried on to the ceiling, and Schwarz's criterion (1978) decides between them on the effective number of points.

use libm::{exp, log};

use crate::detect::statistics::{inflation, line};

/// dBIC from which a curve with one more parameter is preferred to the line.
pub const PREFERENCE: f64 = 6.0;

/// The family of a curve.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// a + b t
    Linear,
    /// a + c (1 - exp(-t / tau)): it levels off at a + c.
    Saturating,
    /// a + b ln(1 + t / tau): it slows for ever.
    Logarithmic,
    /// a + c exp(t / tau)
    Exponential,
}

/// A fitted curve.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Curve {
    /// Its family.
    pub family: Family,
    /// Level at the stretch's start.
    pub intercept: f64,
    /// Coefficient of the family's term.
    pub scale: f64,
    /// Time constant, hours; 0 for a line.
    pub tau: f64,
    /// dBIC over the line: positive where this curve is preferred.
    pub preference: f64,
    /// The stretch's first x.
    start: f64,
}

impl Curve {
    /// Level at `x`.
    pub fn at(&self, x: f64) -> f64 {
        self.intercept + self.scale * term(self.family, x - self.start, self.tau)
    }

    /// Hours from `x` until the level rises by `rise` above the curve's own level there; `None` where it never does.
    pub fn hours_to_rise(&self, x: f64, rise: f64) -> Option<f64> {
        let now = term(self.family, x - self.start, self.tau);
        let wanted = now + rise / self.scale;
        if !wanted.is_finite() || self.scale == 0.0 {
            return None;
        }
        let then = match self.family {
            Family::Linear => wanted,
            Family::Saturating if wanted < 1.0 => -self.tau * log(1.0 - wanted),
            Family::Logarithmic if wanted < 50.0 => self.tau * (exp(wanted) - 1.0),
            Family::Exponential if wanted > 0.0 => self.tau * log(wanted),
            _ => return None,
        };
        Some((then - (x - self.start)).max(0.0))
    }

    /// The level it ends at, for a curve that levels off.
    pub fn plateau(&self) -> Option<f64> {
        (self.family == Family::Saturating).then_some(self.intercept + self.scale)
    }
}

fn term(family: Family, t: f64, tau: f64) -> f64 {
    match family {
        Family::Linear => t,
        Family::Saturating => 1.0 - exp(-t / tau),
        Family::Logarithmic => log(1.0 + (t / tau).max(0.0)),
        Family::Exponential => exp(t / tau),
    }
}

/// The best curve of each kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Shape {
    /// The best curve that slows.
    pub slowing: Option<Curve>,
    /// The best curve that quickens.
    pub quickening: Option<Curve>,
}

impl Shape {
    /// The slowing curve, where it is preferred to the line by [`PREFERENCE`].
    pub fn slows(&self) -> Option<Curve> {
        self.slowing.filter(|curve| curve.preference > PREFERENCE)
    }

    /// The quickening curve, where it is preferred to the line by [`PREFERENCE`].
    pub fn quickens(&self) -> Option<Curve> {
        self.quickening.filter(|curve| curve.preference > PREFERENCE)
    }
}

/// Time constants tried, as shares of the stretch.
const TAUS: [f64; 9] = [0.05, 0.1, 0.17, 0.27, 0.4, 0.6, 0.9, 1.4, 2.2];

/// Fits every family to `y` over `x` (rising). `None` where not even a line fits.
pub fn fit(x: &[f64], y: &[f64]) -> Option<Shape> {
    let straight = line(x, y)?;
    let (first, last) = (*x.first()?, *x.last()?);
    let span = last - first;
    let n = x.len() as f64;
    let mut best: [Option<(Curve, f64, f64)>; 2] = [None, None];
    let mut moved = vec![0.0; x.len()];
    for (family, slot) in [
        (Family::Saturating, 0),
        (Family::Logarithmic, 0),
        (Family::Exponential, 1),
    ] {
        for share in TAUS {
            let tau = share * span;
            for (to, from) in moved.iter_mut().zip(x) {
                *to = term(family, from - first, tau);
            }
            let Some(fitted) = line(&moved, y) else { continue };
            let entry = &mut best[slot];
            if fitted.slope > 0.0 && entry.is_none_or(|(_, rss, _)| fitted.rss < rss) {
                let curve = Curve {
                    family,
                    intercept: fitted.intercept,
                    scale: fitted.slope,
                    tau,
                    preference: 0.0,
                    start: first,
                };
                *entry = Some((curve, fitted.rss, fitted.rho));
            }
        }
    }
    let [slowing, quickening] = best.map(|entry| {
        entry.map(|(curve, rss, rho)| {
            // Neighbouring floors are not independent; the better model's residuals say by how much.
            let effective = (n / inflation(rho.min(straight.rho))).max(4.0);
            let floor = (straight.rss * 1e-9).max(f64::MIN_POSITIVE);
            let preference = effective * log(straight.rss.max(floor) / rss.max(floor)) - log(effective);
            Curve { preference, ..curve }
        })
    });
    Some(Shape { slowing, quickening })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape(f: impl Fn(f64) -> f64) -> Shape {
        let x: Vec<f64> = (0..48).map(|i| 10.0 + f64::from(i) / 4.0).collect();
        // A little noise that is the same each time.
        let y: Vec<f64> = x
            .iter()
            .enumerate()
            .map(|(i, x)| f(x - 10.0) + (i as f64 * 7.3).sin())
            .collect();
        fit(&x, &y).unwrap()
    }

    #[test]
    fn tells_the_families_apart() {
        let straight = shape(|t| 100.0 + 20.0 * t);
        assert!(
            straight.slows().is_none() && straight.quickens().is_none(),
            "{straight:?}"
        );
        let filling = shape(|t| 100.0 + 200.0 * (1.0 - (-t / 4.0).exp()));
        let curve = filling.slows().unwrap();
        assert_eq!(curve.family, Family::Saturating);
        assert!((curve.plateau().unwrap() - 300.0).abs() < 15.0, "{curve:?}");
        assert_eq!(curve.hours_to_rise(22.0, 100.0), None);
        let growing = shape(|t| 100.0 + 3.0 * (t / 3.0).exp()).quickens().unwrap();
        let then = growing.hours_to_rise(22.0, 300.0).unwrap();
        let exact = 3.0 * ((300.0 + 3.0 * 4.0f64.exp()) / 3.0).ln() - 12.0;
        assert!((then - exact).abs() < 0.5, "{then} {exact}");
        assert_eq!(
            shape(|t| 100.0 + 60.0 * (1.0 + t / 0.6).ln()).slows().unwrap().family,
            Family::Logarithmic
        );
    }
}
