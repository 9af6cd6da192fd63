//! The builder. One table gives every operator its operands; the JSON parser goes through it too.

use super::expr::{Expr, Filter, Range, Scalar, Test};
use crate::error::excerpt;
use crate::limits::{FILTER_IN_MAX, FILTER_PATH_BYTES_MAX};
use crate::record::Num;
use serde_json::Value;
use std::ops::{BitAnd, BitOr, Not};

/// A part, or what is wrong with it.
pub(super) type Built<T> = Result<T, Box<str>>;

const OPERATORS: &str = "$eq $ne $in $nin $lt $lte $gt $gte $between $exists $prefix $contains, and around conditions $and $or $not";

impl Filter {
    /// The field has this value: a string, number, boolean or null. (A NaN is null to JSON, hence here.)
    pub fn eq(path: impl AsRef<str>, value: impl Into<Value>) -> Self {
        Self::condition(path.as_ref(), "$eq", &value.into())
    }

    /// The field does not have this value, or is missing.
    pub fn ne(path: impl AsRef<str>, value: impl Into<Value>) -> Self {
        Self::condition(path.as_ref(), "$ne", &value.into())
    }

    /// The field is less than this number or string.
    pub fn lt(path: impl AsRef<str>, value: impl Into<Value>) -> Self {
        Self::condition(path.as_ref(), "$lt", &value.into())
    }

    /// The field is at most this number or string.
    pub fn lte(path: impl AsRef<str>, value: impl Into<Value>) -> Self {
        Self::condition(path.as_ref(), "$lte", &value.into())
    }

    /// The field is greater than this number or string.
    pub fn gt(path: impl AsRef<str>, value: impl Into<Value>) -> Self {
        Self::condition(path.as_ref(), "$gt", &value.into())
    }

    /// The field is at least this number or string.
    pub fn gte(path: impl AsRef<str>, value: impl Into<Value>) -> Self {
        Self::condition(path.as_ref(), "$gte", &value.into())
    }

    /// The field is from `lo` to `hi`, both included: two numbers or two strings.
    pub fn between(path: impl AsRef<str>, lo: impl Into<Value>, hi: impl Into<Value>) -> Self {
        Self::condition(path.as_ref(), "$between", &Value::Array(vec![lo.into(), hi.into()]))
    }

    /// The field has one of these values.
    pub fn is_in(path: impl AsRef<str>, values: impl IntoIterator<Item: Into<Value>>) -> Self {
        Self::condition(path.as_ref(), "$in", &values.into_iter().map(Into::into).collect())
    }

    /// The field has none of these values, or is missing.
    pub fn not_in(path: impl AsRef<str>, values: impl IntoIterator<Item: Into<Value>>) -> Self {
        Self::condition(path.as_ref(), "$nin", &values.into_iter().map(Into::into).collect())
    }

    /// The key is there (a null counts), or is not.
    pub fn exists(path: impl AsRef<str>, there: bool) -> Self {
        Self::condition(path.as_ref(), "$exists", &there.into())
    }

    /// The field is a string that starts so.
    pub fn prefix(path: impl AsRef<str>, start: impl Into<String>) -> Self {
        Self::condition(path.as_ref(), "$prefix", &Value::String(start.into()))
    }

    /// The field is a string with this inside, or an array with this as an element.
    pub fn contains(path: impl AsRef<str>, value: impl Into<Value>) -> Self {
        Self::condition(path.as_ref(), "$contains", &value.into())
    }

    /// All of them hold. `all([])` matches every chunk.
    pub fn all(filters: impl IntoIterator<Item = Self>) -> Self {
        Self::join(filters, Expr::all)
    }

    /// At least one of them holds. `any([])` is an error, because it is mostly a list that was not filled.
    pub fn any(filters: impl IntoIterator<Item = Self>) -> Self {
        let mut filters = filters.into_iter().peekable();
        if filters.peek().is_none() {
            return Self::wrong("$or is empty; give at least one alternative");
        }
        Self::join(filters, Expr::any)
    }

    /// The filter does not hold.
    #[expect(
        clippy::should_implement_trait,
        reason = "it is; a name beside `all` and `any` reads better in lists"
    )]
    pub fn not(filter: Self) -> Self {
        filter.0.map_or_else(Self::wrong, |expr| Self::of(expr.not()))
    }

    fn join(filters: impl IntoIterator<Item = Self>, make: fn(Vec<Expr>) -> Expr) -> Self {
        let parts: Built<Vec<Expr>> = filters.into_iter().map(|filter| filter.0).collect();
        parts.map_or_else(Self::wrong, |parts| Self::of(make(parts)))
    }

    pub(super) fn condition(path: &str, operator: &str, operand: &Value) -> Self {
        condition(path, operator, operand).map_or_else(Self::wrong, Self::of)
    }
}

impl BitAnd for Filter {
    type Output = Self;
    fn bitand(self, other: Self) -> Self {
        Self::all([self, other])
    }
}

impl BitOr for Filter {
    type Output = Self;
    fn bitor(self, other: Self) -> Self {
        Self::any([self, other])
    }
}

impl Not for Filter {
    type Output = Self;
    fn not(self) -> Self {
        Self::not(self)
    }
}

fn condition(path: &str, operator: &str, operand: &Value) -> Built<Expr> {
    check_path(path)?;
    let test = |test: Test| Expr::Test(path.into(), test);
    let takes = |what: &str| -> Box<str> {
        format!("{}: {operator} takes {what}, not {}", excerpt(path), shown(operand)).into()
    };
    let equal = || match scalar(operand) {
        Some(value) => Ok(test(Test::In(vec![value]))),
        None => Err(takes("a string, a number, a boolean or null")),
    };
    let one_of = || match operand.as_array().map(|values| (values.len(), values.iter().map(scalar).collect()))
    {
        Some((len, _)) if len > FILTER_IN_MAX => {
            Err(format!("{}: {operator} has {len} values; the limit is {FILTER_IN_MAX}", excerpt(path))
                .into())
        }
        Some((_, Some(values))) => Ok(test(Test::one_of(values))),
        _ => Err(takes("an array of strings, numbers, booleans and nulls")),
    };
    let ordered = |number: fn(Num) -> Range<Num>, text: fn(Box<str>) -> Range<Box<str>>| match scalar(operand)
    {
        Some(Scalar::Num(n)) => Ok(test(Test::Number(number(n)))),
        Some(Scalar::Str(s)) => Ok(test(Test::Text(text(s)))),
        _ => Err(takes("a number or a string")),
    };
    Ok(match operator {
        "$eq" => equal()?,
        "$ne" => equal()?.not(),
        "$in" => one_of()?,
        "$nin" => one_of()?.not(),
        "$lt" => ordered(Range::Lt, Range::Lt)?,
        "$lte" => ordered(Range::Lte, Range::Lte)?,
        "$gt" => ordered(Range::Gt, Range::Gt)?,
        "$gte" => ordered(Range::Gte, Range::Gte)?,
        "$between" => test(between(operand).ok_or_else(|| takes("[low, high], two numbers or two strings"))?),
        "$exists" => match operand {
            Value::Bool(true) => test(Test::Exists),
            Value::Bool(false) => test(Test::Exists).not(),
            _ => return Err(takes("true or false")),
        },
        "$prefix" => match operand {
            Value::String(s) => test(Test::Prefix(s.as_str().into())),
            _ => return Err(takes("a string")),
        },
        "$contains" => match operand {
            Value::String(s) => test(Test::Contains(s.as_str().into())),
            _ => equal()?,
        },
        _ => return Err(format!("{}: {}", excerpt(path), unknown(operator)).into()),
    })
}

pub(super) fn unknown(operator: &str) -> String {
    format!("unknown operator {}; the operators are {OPERATORS}", excerpt(operator))
}

fn check_path(path: &str) -> Built<()> {
    if path.starts_with('$') {
        return Err(unknown(path).into());
    }
    let len = path.len();
    if len > FILTER_PATH_BYTES_MAX {
        let path = excerpt(path);
        return Err(format!("path {path} has {len} bytes; the limit is {FILTER_PATH_BYTES_MAX}").into());
    }
    Ok(())
}

fn between(operand: &Value) -> Option<Test> {
    let [lo, hi] = operand.as_array()?.as_slice() else { return None };
    match (scalar(lo)?, scalar(hi)?) {
        (Scalar::Num(lo), Scalar::Num(hi)) => Some(Test::Number(Range::Between(lo, hi))),
        (Scalar::Str(lo), Scalar::Str(hi)) => Some(Test::Text(Range::Between(lo, hi))),
        _ => None,
    }
}

/// `None` for arrays and objects, which are no values.
fn scalar(value: &Value) -> Option<Scalar> {
    match value {
        Value::Null => Some(Scalar::Null),
        Value::Bool(b) => Some(Scalar::Bool(*b)),
        Value::Number(n) => Num::of(n).map(Scalar::Num),
        Value::String(s) => Some(Scalar::Str(s.as_str().into())),
        Value::Array(_) | Value::Object(_) => None,
    }
}

/// A value in a message. Containers by kind only: they may be large, or too deep to print.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::String(s) => excerpt(s),
        Value::Array(items) => format!("an array of {}", items.len()),
        Value::Object(_) => "an object".to_owned(),
        other => other.to_string(),
    }
}
