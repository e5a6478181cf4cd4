//! Two replies to one request, and how a known difference is taken out of them.

use super::picture::Picture;

pub(super) struct Pair {
    pub(super) ours: Picture,
    pub(super) theirs: Picture,
    /// Ports of theirs that are called otherwise from now on: line, old name, new name.
    pub(super) renamed: Vec<(usize, String, String)>,
}

impl Pair {
    pub(super) fn differences(&self) -> Vec<String> {
        self.ours.differences(&self.theirs)
    }

    /// Takes out the difference of one fact, if `predicted` says yes to ours and theirs.
    pub(super) fn excuse(
        &mut self,
        name: &str,
        predicted: impl Fn(&[String], &[String]) -> bool,
    ) -> bool {
        let (ours, theirs) = (self.ours.get(name), self.theirs.get(name));
        let excused = ours != theirs && predicted(ours, theirs);
        if excused {
            self.ours.forget(|other| other == name);
            self.theirs.forget(|other| other == name);
        }
        excused
    }

    /// As [`Self::excuse`] for every fact whose name `is` names.
    pub(super) fn excuse_all(
        &mut self,
        is: impl Fn(&str) -> bool,
        predicted: impl Fn(&[String], &[String]) -> bool,
    ) {
        let names = self.ours.0.keys().chain(self.theirs.0.keys());
        let names: Vec<String> = names.filter(|name| is(name)).cloned().collect();
        for name in names {
            self.excuse(&name, &predicted);
        }
    }

    /// Calls `each` for every m= line.
    pub(super) fn lines(&mut self, mut each: impl FnMut(&mut Line<'_>)) {
        for number in 0..self.ours.lines().max(self.theirs.lines()) {
            each(&mut Line { pair: self, number });
        }
    }
}

/// One m= line of both replies.
pub(super) struct Line<'a> {
    pub(super) pair: &'a mut Pair,
    pub(super) number: usize,
}

impl Line<'_> {
    fn name(&self, fact: &str) -> String {
        format!("line {} {fact}", self.number)
    }

    pub(super) fn ours(&self, fact: &str) -> &[String] {
        self.pair.ours.get(&self.name(fact))
    }

    pub(super) fn theirs(&self, fact: &str) -> &[String] {
        self.pair.theirs.get(&self.name(fact))
    }

    pub(super) fn excuse(
        &mut self,
        fact: &str,
        predicted: impl Fn(&[String], &[String]) -> bool,
    ) -> bool {
        let name = self.name(fact);
        self.pair.excuse(&name, predicted)
    }

    /// Takes their ports for ours, here and in all later replies.
    pub(super) fn same_ports(&mut self) {
        for fact in ["port", "rtcp", "candidates"] {
            let read = |facts: &[String]| facts.iter().map(|text| port(fact, text)).collect();
            let ours: Vec<String> = read(self.ours(fact));
            let theirs: Vec<String> = read(self.theirs(fact));
            for (our, their) in ours.iter().zip(&theirs) {
                if our != their && our != "0" && their != "0" {
                    self.rename(their, our);
                }
            }
        }
    }

    fn rename(&mut self, from: &str, to: &str) {
        for fact in ["port", "rtcp", "candidates"] {
            let name = self.name(fact);
            for text in self.pair.theirs.0.get_mut(&name).into_iter().flatten() {
                if port(fact, text) == from {
                    *text = text.replacen(from, to, 1);
                }
            }
        }
        let renamed = (self.number, from.to_owned(), to.to_owned());
        self.pair.renamed.push(renamed);
    }
}

/// The name of the port in a fact (see `Ports`).
pub(super) fn port(fact: &str, text: &str) -> String {
    let name = match fact {
        "rtcp" => text.split(" IN ").next(),
        "candidates" => ["typ host ", "rport "]
            .iter()
            .find_map(|before| text.split_once(before))
            .map(|(_, name)| name),
        _ => Some(text),
    };
    name.unwrap_or(text).trim_end().to_owned()
}
