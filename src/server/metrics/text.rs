//! Prometheus' text format, version 0.0.4.
//!
//! Invariant: a family is told once, before its samples, and values of labels are escaped.

use std::fmt::{Display, Write};

/// A page of metrics under construction.
#[derive(Default)]
pub(crate) struct Text {
    out: String,
}

impl Text {
    pub(crate) fn family(&mut self, name: &str, kind: &str, help: &str) {
        // Writing to a string cannot fail.
        let _ = writeln!(self.out, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    pub(crate) fn sample(&mut self, name: &str, labels: &[(&str, &str)], value: impl Display) {
        self.out.push_str(name);
        for (n, (label, text)) in labels.iter().enumerate() {
            self.out.push(if n == 0 { '{' } else { ',' });
            let escaped = text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
            let _ = write!(self.out, "{label}=\"{escaped}\"");
        }
        let _ = writeln!(self.out, "{} {value}", if labels.is_empty() { "" } else { "}" });
    }

    pub(crate) fn gauge(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "gauge", help);
        self.sample(name, &[], value);
    }

    pub(crate) fn counter(&mut self, name: &str, help: &str, value: impl Display) {
        self.family(name, "counter", help);
        self.sample(name, &[], value);
    }

    pub(crate) fn into_string(self) -> String {
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_what_prometheus_reads() {
        let mut text = Text::default();
        text.gauge("up", "Whether it is up", 1);
        text.family("rows", "gauge", "Rows");
        text.sample("rows", &[("collection", "a\"b\\c\nd"), ("state", "live")], 2.5);
        let expected = "# HELP up Whether it is up\n# TYPE up gauge\nup 1\n# HELP rows Rows\n# TYPE rows gauge\n\
                        rows{collection=\"a\\\"b\\\\c\\nd\",state=\"live\"} 2.5\n";
        assert_eq!(text.into_string(), expected);
    }
}
