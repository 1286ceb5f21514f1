//! Reparameterisation gradients of gamma and Dirichlet samples, -(∂cdf/∂α)/pdf.
//!
//! The approximations are those of Jankowiak and Obermeyer, "Pathwise Derivatives Beyond the Reparameterization Trick"
//! (ICML 2018), with the regions, truncations and fitted coefficients that PyTorch uses: they are good to 3 or 4 digits, and
//! gradients agree with PyTorch's only if they err alike.

use super::gamma;

/// 1 + 1/(12a) + 1/(288a²): Stirling's correction to Γ.
#[inline(always)]
fn stirling(a: f64) -> f64 {
    1.0 + (1.0 + 1.0 / (24.0 * a)) / (12.0 * a)
}

/// The derivative of lgamma, with +∞ at its poles as in PyTorch's samplers.
fn digamma(x: f64) -> f64 {
    if x <= 0.0 && x == x.floor() { f64::INFINITY } else { gamma::digamma(x) }
}

#[inline(always)]
fn zero_for_nan(x: f64) -> f64 {
    if x.is_nan() { 0.0 } else { x }
}

/// d sample/d alpha at a sample x of the standard gamma distribution of that shape.
pub fn standard_gamma_grad(alpha: f64, x: f64) -> f64 {
    if x < 0.8 {
        gamma_series(alpha, x)
    } else if alpha > 8.0 {
        gamma_saddle(alpha, x / alpha, (x - 0.9 * alpha) >= 0.0 && x <= 1.1 * alpha)
    } else {
        gamma_fit(alpha, x)
    }
}

/// Six terms of the power series of the distribution function.
fn gamma_series(alpha: f64, x: f64) -> f64 {
    let (mut first, mut second) = (0.0, 0.0);
    let (mut power, mut shifted) = (1.0, alpha);
    for i in 1..=6 {
        first += power / shifted;
        second += power / (shifted * shifted);
        power *= -x / i as f64;
        shifted += 1.0;
    }
    zero_for_nan(x * x.exp() * ((digamma(alpha) - x.ln()) * first + second))
}

/// Rice's saddle point expansion, in the ratio of x to alpha; `near` takes its limit form around 1.
fn gamma_saddle(alpha: f64, ratio: f64, near: bool) -> f64 {
    if near {
        let leading = (1.0 + ratio * (2.5 - 0.5 * ratio)) / 3.0;
        let next = (107.0 + ratio * (318.0 - 65.0 * ratio)) / (4320.0 * alpha);
        return stirling(alpha) * (leading + next);
    }
    let log = ratio.ln();
    let away = 1.0 - ratio;
    let bend = (-away - log).powf(-1.5) / (8f64.sqrt() * alpha);
    let slope = 1.0 / away + if ratio < 1.0 { -bend } else { bend };
    stirling(alpha) * ratio * (0.5 * (1.0 + ratio) / (alpha * (away * away)) - log * slope)
}

/// A rational fit of the logarithm in u = ln(x/alpha) (within each row) and v = ln(alpha) (across them).
fn gamma_fit(alpha: f64, x: f64) -> f64 {
    const ABOVE: [[f64; 3]; 4] = [
        [0.16009398, 0.53487893, 0.040121004],
        [-0.094634809, 0.1298071, -0.0065914022],
        [0.025146376, 0.065735949, -0.0026286047],
        [-0.0030648343, -0.0015649758, -0.0013441777],
    ];
    const BELOW: [[f64; 3]; 4] = [
        [1.0, 0.16639465, 0.017050642],
        [0.32668115, 0.020070113, -0.0021309326],
        [0.10406089, -0.0035938915, 0.00085092367],
        [0.0014179084, -0.00058392623, -1.5247877e-07],
    ];
    let (u, v) = ((x / alpha).ln(), alpha.ln());
    let surface = |table: &[[f64; 3]; 4]| {
        let mut sum = 0.0;
        for [c0, c1, c2] in table.iter().rev() {
            sum = sum * v + (c0 + u * (c1 + u * c2));
        }
        sum
    };
    (surface(&ABOVE) / surface(&BELOW)).exp()
}

/// The gradient of one component x of a Dirichlet sample with respect to its concentration alpha, over (1 - x); `total` is
/// the sum of all concentrations.
pub fn dirichlet_grad(x: f64, alpha: f64, total: f64) -> f64 {
    let beta = total - alpha;
    let boundary = total * x * (1.0 - x);
    if x <= 0.5 && boundary < 2.5 {
        beta_series_alpha(x, alpha, beta)
    } else if x >= 0.5 && boundary < 0.75 {
        -beta_series_beta(1.0 - x, beta, alpha)
    } else if alpha > 6.0 && beta > 6.0 {
        beta_saddle(x, alpha, beta)
    } else {
        beta_fit(x, alpha, total)
    }
}

/// Eleven terms of the power series at x = 0, differentiated by alpha.
fn beta_series_alpha(x: f64, alpha: f64, beta: f64) -> f64 {
    let factor = digamma(alpha) - digamma(alpha + beta) - x.ln();
    let (mut sum, mut power) = (0.0, 1.0);
    for i in 0..11 {
        let i = i as f64;
        if i > 0.0 {
            power *= (i - beta) * x / i;
        }
        let r = 1.0 / (alpha + i);
        sum += power * r * (factor + r);
    }
    zero_for_nan(x * (1.0 - x).powf(-beta) * sum)
}

/// Nine terms of the power series at x = 0, differentiated by beta.
fn beta_series_beta(x: f64, alpha: f64, beta: f64) -> f64 {
    let factor = digamma(alpha + beta) - digamma(beta);
    let mut sum = factor / alpha;
    // The product (beta - 1) … (beta - i) and its derivative by beta.
    let (mut power, mut product, mut derivative) = (1.0, 1.0, 0.0);
    for i in 1..=8 {
        let i = i as f64;
        power *= -x / i;
        derivative = derivative * (beta - i) + product;
        product *= beta - i;
        sum += power / (alpha + i) * (derivative + factor * product);
    }
    zero_for_nan(-(1.0 - x).powf(1.0 - beta) * sum)
}

/// Rice's saddle point expansion for large alpha and beta, with its limit form near the mean.
fn beta_saddle(x: f64, alpha: f64, beta: f64) -> f64 {
    let total = alpha + beta;
    let y = 1.0 - x;
    let mean = alpha / total;
    let deviation = (alpha * beta / (total + 1.0)).sqrt() / total;
    if (mean - 0.1 * deviation..=mean + 0.1 * deviation).contains(&x) {
        // A polynomial in alpha; each coefficient carries the power of beta that makes the sum of degrees alike.
        let c0 = 47.0 * x * beta.powi(4);
        let c1 = (43.0 + 20.0 * (16.0 + 27.0 * beta) * x) * beta.powi(3);
        let c2 = 3.0 * (59.0 + 180.0 * beta - 90.0 * x) * (beta * beta);
        let c3 = (453.0 + 1620.0 * beta * y - 455.0 * x) * beta;
        let c4 = 8.0 * y * (135.0 * beta - 11.0);
        let polynomial = c0 + alpha * (c1 + alpha * (c2 + alpha * (c3 + alpha * c4)));
        let above = (1.0 + 12.0 * alpha) * (1.0 + 12.0 * beta) / (total * total);
        let below = 12960.0 * alpha.powi(3) * (beta * beta) * (1.0 + 12.0 * total);
        return above / y * polynomial / below;
    }
    // How far x lies from the mean, times total.
    let offset = beta * x - alpha * y;
    let first = -(2.0 * (alpha * alpha) * y + alpha * beta * y + x * (beta * beta))
        / ((2.0 * alpha / beta).sqrt() * total.powf(1.5) * (offset * offset));
    let half_log = 0.5 * (alpha / (total * x)).ln();
    let pull = (8.0 * alpha * beta / total).sqrt() / offset;
    let divergence = beta * (beta / (total * y)).ln() + alpha * (alpha / (total * x)).ln();
    let bend = divergence.powf(-1.5);
    let bracket = first + half_log * (pull + if x < mean { bend } else { -bend });
    let correction = stirling(alpha) * stirling(beta) / stirling(total);
    -correction * x / (2.0 * alpha * beta / total).sqrt() * bracket
}

/// A rational correction, in logarithms u of x, a of alpha/x and b of total/(alpha/x), to x (ψ(total) - ψ(alpha))/beta.
fn beta_fit(x: f64, alpha: f64, total: f64) -> f64 {
    /// Indexed by the powers of u, a and b.
    type Cube = [[[f64; 4]; 3]; 3];
    const ABOVE: Cube = [
        [
            [1.003668233, -0.01061107488, -0.0657888334, 0.01201642863],
            [0.6336835991, -0.3557432599, 0.05486251648, -0.001465281033],
            [-0.03276231906, 0.004474107445, 0.002429354597, -0.0001557569013],
        ],
        [
            [0.221950385, -0.3187676331, 0.01799915743, 0.01074823814],
            [-0.2951249643, 0.06219954479, 0.01535556598, 0.001550077057],
            [0.02155310298, 0.004170831599, 0.001292462449, 6.976601077e-05],
        ],
        [
            [-0.05980841433, 0.008441916499, 0.01085618172, 0.002319392565],
            [0.02911413504, 0.01400243777, -0.002721828457, 0.000751041181],
            [0.005900514878, -0.001936558688, -9.495446725e-06, 5.385558597e-05],
        ],
    ];
    const BELOW: Cube = [
        [
            [1.0, -0.02924021934, -0.04438342661, 0.007285809825],
            [0.6357567472, -0.3473456711, 0.05454656494, -0.002407477521],
            [-0.03301322327, 0.004845219414, 0.00231480583, -0.0002307248149],
        ],
        [
            [0.5925320577, -0.1757678135, 0.01505928619, 0.000564515273],
            [0.1014815858, -0.06589186703, 0.01272886114, -0.0007316646956],
            [-0.007258481865, 0.001096195486, 0.0003934994223, -4.12701925e-05],
        ],
        [
            [0.06469649321, -0.0236701437, 0.002902096474, -5.896963079e-05],
            [0.001925008108, -0.002869809258, 0.0008000589141, -6.063713228e-05],
            [-0.0003477407336, 6.959756487e-05, 1.097287507e-05, -1.650964693e-06],
        ],
    ];
    let u = x.ln();
    let a = alpha.ln() - u;
    let b = total.ln() - a;
    let value = |cube: &Cube| {
        let mut sum = 0.0;
        for plane in cube.iter().rev() {
            let mut across = 0.0;
            for row in plane.iter().rev() {
                across = across * a + row.iter().rev().fold(0.0, |line, c| line * b + c);
            }
            sum = sum * u + across;
        }
        sum
    };
    value(&ABOVE) / value(&BELOW) * x * (digamma(total) - digamma(alpha)) / (total - alpha)
}
