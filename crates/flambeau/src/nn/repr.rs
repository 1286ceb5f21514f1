//! The texts of modules, as PyTorch prints them.

use crate::print::python_float;

/// `Name(extra)`, or with submodules one per line.
pub(super) fn module(name: &str, extra: &str, children: &[(String, String)]) -> String {
    let lines = children.iter().map(|(name, text)| format!("({name}): {text}"));
    if children.is_empty() && !extra.contains('\n') {
        return format!("{name}({extra})");
    }
    let extra = extra.lines().map(String::from);
    block(name, extra.chain(lines))
}

/// `ModuleList`'s text, in which a run of equal modules is shown once.
pub(super) fn list(name: &str, children: &[String]) -> String {
    if children.is_empty() {
        return format!("{name}()");
    }
    let mut lines = Vec::new();
    let mut first = 0;
    for (i, text) in children.iter().enumerate() {
        if children.get(i + 1) == Some(text) {
            continue;
        }
        lines.push(match i - first {
            0 => format!("({i}): {text}"),
            more => format!("({first}-{i}): {} x {text}", more + 1),
        });
        first = i + 1;
    }
    block(name, lines.into_iter())
}

fn block(name: &str, lines: impl Iterator<Item = String>) -> String {
    let body: Vec<String> = lines.map(|line| line.replace('\n', "\n  ")).collect();
    format!("{name}(\n  {}\n)", body.join("\n  "))
}

/// A value as Python prints it.
pub(super) trait Python {
    fn python(&self) -> String;
}
impl Python for f64 {
    fn python(&self) -> String {
        python_float(*self)
    }
}
impl Python for i64 {
    fn python(&self) -> String {
        self.to_string()
    }
}
impl Python for bool {
    fn python(&self) -> String {
        if *self { "True" } else { "False" }.into()
    }
}
impl Python for &str {
    fn python(&self) -> String {
        format!("'{self}'")
    }
}
impl<T: Python> Python for Option<T> {
    fn python(&self) -> String {
        self.as_ref().map_or("None".into(), Python::python)
    }
}
impl Python for [i64] {
    fn python(&self) -> String {
        match self {
            [one] => format!("({one},)"),
            many => format!("({})", many.iter().map(i64::to_string).collect::<Vec<_>>().join(", ")),
        }
    }
}
