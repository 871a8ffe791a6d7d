//! The table: each figure beside what it must be and what it is aimed at.

const NAME_WIDTH: usize = 60;
const FIGURE_WIDTH: usize = 10;

#[derive(Clone, Copy)]
pub enum Goal {
    AtMost {
        must: f64,
        aim: Option<f64>,
    },
    AtLeast {
        must: f64,
        aim: Option<f64>,
    },
    /// The figure explains others.
    None,
}

pub fn at_most(must: f64, aim: impl Into<Option<f64>>) -> Goal {
    let aim = aim.into();
    Goal::AtMost { must, aim }
}

pub fn at_least(must: f64, aim: impl Into<Option<f64>>) -> Goal {
    let aim = aim.into();
    Goal::AtLeast { must, aim }
}

pub fn head() {
    println!(
        "{:NAME_WIDTH$} {:>FIGURE_WIDTH$} {:>FIGURE_WIDTH$} {:>FIGURE_WIDTH$}",
        "", "figure", "must", "aim"
    );
}

pub fn row(name: &str, figure: f64, goal: Goal) {
    let (sign, must, aim, reaches): (_, _, _, fn(f64, f64) -> bool) = match goal {
        Goal::AtMost { must, aim } => ("≤", must, aim, |figure, bound| figure <= bound),
        Goal::AtLeast { must, aim } => ("≥", must, aim, |figure, bound| figure >= bound),
        Goal::None => return println!("{name:NAME_WIDTH$} {:>FIGURE_WIDTH$}", digits(figure)),
    };
    let verdict = match (reaches(figure, must), aim) {
        (false, _) => "  MISSED",
        (true, Some(aim)) if reaches(figure, aim) => "  aim",
        (true, _) => "  must",
    };
    println!(
        "{name:NAME_WIDTH$} {:>FIGURE_WIDTH$} {:>FIGURE_WIDTH$} {:>FIGURE_WIDTH$}{verdict}",
        digits(figure),
        format!("{sign} {must}"),
        aim.map(|aim| format!("{sign} {aim}")).unwrap_or_default(),
    );
}

/// Three significant digits, or all those before the point.
fn digits(figure: f64) -> String {
    match figure.abs() {
        ..1.0 => format!("{figure:.3}"),
        ..10.0 => format!("{figure:.2}"),
        ..100.0 => format!("{figure:.1}"),
        _ => format!("{figure:.0}"),
    }
}

/// The middle one of the rounds' figures.
pub fn median(mut figures: Vec<f64>) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}
