//! The few Python literals that the header of a `.npy` file is made of.

use crate::import::input::Parsed;

pub(super) struct Literal<'a> {
    rest: &'a str,
}

impl<'a> Literal<'a> {
    pub(super) fn new(rest: &'a str) -> Self {
        Self { rest }
    }

    pub(super) fn next_is(&mut self, c: char) -> bool {
        match self.rest.trim_start().strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }

    pub(super) fn expect(&mut self, c: char) -> Parsed<()> {
        if self.next_is(c) { Ok(()) } else { Err(self.surprise(&format!("`{c}`"))) }
    }

    pub(super) fn string(&mut self) -> Parsed<&'a str> {
        let rest = self.rest.trim_start();
        let quote = rest.chars().next().filter(|c| matches!(c, '\'' | '"'));
        let parts = quote.and_then(|q| rest[1..].split_once(q));
        let (string, rest) =
            parts.ok_or_else(|| self.surprise("a string (structured types are not read)"))?;
        self.rest = rest;
        Ok(string)
    }

    pub(super) fn boolean(&mut self) -> Parsed<bool> {
        let rest = self.rest.trim_start();
        for (word, value) in [("True", true), ("False", false)] {
            if let Some(rest) = rest.strip_prefix(word) {
                self.rest = rest;
                return Ok(value);
            }
        }
        Err(self.surprise("True or False"))
    }

    pub(super) fn shape(&mut self) -> Parsed<Vec<u64>> {
        let mut shape = Vec::new();
        self.expect('(')?;
        while !self.next_is(')') {
            let rest = self.rest.trim_start();
            let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            shape.push(
                rest[..digits].parse().map_err(|_| self.surprise("a whole number of at most 64 bits"))?,
            );
            self.rest = &rest[digits..];
            if !self.next_is(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(shape)
    }

    pub(super) fn end(&self) -> Parsed<()> {
        if self.rest.trim().is_empty() {
            return Ok(());
        }
        Err("its header goes on after the dictionary".to_owned())
    }

    fn surprise(&self, wanted: &str) -> String {
        let found: String = self.rest.trim_start().chars().take(24).collect();
        format!("its header has `{}` where {wanted} should be", found.escape_debug())
    }
}
