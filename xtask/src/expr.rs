//! Syntax of scalar expressions.

use crate::diag::{Diag, Result, Span};
use crate::lex::{Token, Tokens};

#[derive(Clone, Debug, PartialEq)]
pub enum Expr {
    Number(f64),
    /// A parameter, a shared value or a named constant.
    Name(String),
    Text(String),
    None,
    Unary(&'static str, Box<Expr>),
    Binary(&'static str, Box<Expr>, Box<Expr>),
    Select(Box<Expr>, Box<Expr>, Box<Expr>),
    Call(String, Vec<Expr>),
    /// `let name = value; rest`
    Let(String, Box<Expr>, Box<Expr>),
}

/// Binary operators by falling precedence.
const LEVELS: [&[&str]; 6] =
    [&["||"], &["&&"], &["==", "!="], &["<=", ">=", "<", ">"], &["+", "-"], &["*", "/"]];

pub fn parse(span: &Span) -> Result<Expr> {
    let mut tokens = Tokens::new(span)?;
    let expr = sequence(&mut tokens)?;
    tokens.end()?;
    Ok(expr)
}

fn sequence(t: &mut Tokens) -> Result<Expr> {
    let is_let = matches!(t.peek(), Some(Token::Ident(word)) if word == "let")
        && matches!(t.peek_at(1), Some(Token::Ident(_)));
    if !is_let {
        return ternary(t);
    }
    t.advance();
    let name = t.ident("a name")?;
    t.expect("=")?;
    let value = ternary(t)?;
    t.expect(";")?;
    Ok(Expr::Let(name, Box::new(value), Box::new(sequence(t)?)))
}

fn ternary(t: &mut Tokens) -> Result<Expr> {
    let condition = binary(t, 0)?;
    if !t.eat("?") {
        return Ok(condition);
    }
    let yes = ternary(t)?;
    t.expect(":")?;
    let no = ternary(t)?;
    Ok(Expr::Select(Box::new(condition), Box::new(yes), Box::new(no)))
}

fn binary(t: &mut Tokens, level: usize) -> Result<Expr> {
    let Some(operators) = LEVELS.get(level) else { return unary(t) };
    let mut left = binary(t, level + 1)?;
    while let Some(operator) = operators.iter().find(|o| t.eat(o)) {
        let right = binary(t, level + 1)?;
        left = Expr::Binary(operator, Box::new(left), Box::new(right));
    }
    Ok(left)
}

fn unary(t: &mut Tokens) -> Result<Expr> {
    for operator in ["-", "!"] {
        if t.eat(operator) {
            return Ok(Expr::Unary(operator, Box::new(unary(t)?)));
        }
    }
    primary(t)
}

fn primary(t: &mut Tokens) -> Result<Expr> {
    if t.eat("(") {
        let inner = sequence(t)?;
        t.expect(")")?;
        return Ok(inner);
    }
    match t.peek().cloned() {
        Some(Token::Number(text)) => {
            let value = text.parse().map_err(|_| t.error(format!("bad number `{text}`")))?;
            t.advance();
            Ok(Expr::Number(value))
        }
        Some(Token::Str(text)) => {
            t.advance();
            Ok(Expr::Text(text))
        }
        Some(Token::Ident(name)) => {
            t.advance();
            if name == "None" {
                return Ok(Expr::None);
            }
            if !t.eat("(") {
                return Ok(Expr::Name(name));
            }
            let mut args = Vec::new();
            while !t.eat(")") {
                if !args.is_empty() {
                    t.expect(",")?;
                }
                args.push(ternary(t)?);
            }
            Ok(Expr::Call(name, args))
        }
        _ => Err(operand_expected(t)),
    }
}

fn operand_expected(t: &Tokens) -> Diag {
    t.error(format!("expected an operand, found {}", t.found()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn show(e: &Expr) -> String {
        match e {
            Expr::Number(v) => v.to_string(),
            Expr::Name(n) => n.clone(),
            Expr::Text(s) => format!("{s:?}"),
            Expr::None => "None".into(),
            Expr::Unary(o, a) => format!("({o}{})", show(a)),
            Expr::Binary(o, a, b) => format!("({}{o}{})", show(a), show(b)),
            Expr::Select(c, a, b) => format!("({}?{}:{})", show(c), show(a), show(b)),
            Expr::Call(f, args) => format!("{f}({})", args.iter().map(show).collect::<Vec<_>>().join(",")),
            Expr::Let(n, v, rest) => format!("let {n}={};{}", show(v), show(rest)),
        }
    }
    fn parse_text(text: &str) -> Result<Expr> {
        parse(&Span { file: "f.ops".into(), line: 7, text: text.into() })
    }

    #[test]
    fn precedence() {
        for (text, shown) in [
            ("a - b - c*d", "((a-b)-(c*d))"),
            ("-a*b", "((-a)*b)"),
            ("a < b && c == d || !e", "(((a<b)&&(c==d))||(!e))"),
            ("a ? b : c ? d : e", "(a?b:(c?d:e))"),
            ("let t = a + 1; exp(t)/t", "let t=(a+1);(exp(t)/t)"),
            ("m == \"x\" ? (let u = 2; u) : f(a, b)", "((m==\"x\")?let u=2;u:f(a,b))"),
        ] {
            assert_eq!(show(&parse_text(text).unwrap()), shown);
        }
    }

    #[test]
    fn errors() {
        for (text, message) in [
            ("a +\nb b", "f.ops:8: expected the end, found `b`"),
            ("(a", "f.ops:7: expected `)`, found the end"),
            ("a ? b", "f.ops:7: expected `:`, found the end"),
            ("", "f.ops:7: expected an operand, found the end"),
        ] {
            assert_eq!(parse_text(text).unwrap_err().to_string(), message);
        }
    }
}
