//! One call as a proxy would tell it.

use rand::Rng;
use rand::SeedableRng;
use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use windlass_ng::{Dict, Value};

use super::phone::{Kind, Phone};
use super::topic::{Keys, TOPICS, Topic};
use super::unsent::{NOT_SENT, Rule};

pub(super) struct Story {
    pub(super) id: String,
    pub(super) topics: Vec<Topic>,
    rng: StdRng,
    phones: Vec<Phone>,
    lines: Vec<(Kind, bool)>,
    offerer: usize,
    answerer: usize,
    answered: bool,
    has_offer: bool,
    is_deleted: bool,
    /// Offers since the last answer.
    pub(super) unanswered: usize,
    offers: u64,
    seed: u64,
    /// What the answerer was last offered.
    heard: Option<String>,
    /// Keys that a proxy repeats in every offer of a call.
    habits: Vec<(Topic, Keys)>,
    sent: Vec<Dict>,
}

impl Story {
    pub(super) fn new(seed: u64, attempt: usize) -> Self {
        let mut rng = StdRng::seed_from_u64(seed);
        let host = |number: u8| format!("198.51.100.{number}");
        let mut phones = vec![
            Phone::new("F", &host(10), 4000),
            Phone::new("T", &host(20), 6000),
            Phone::new("U", &host(30), 8000),
        ];
        let mut lines = vec![(Kind::Audio, true)];
        let count = rng.random_range(1..4);
        let mut topics: Vec<Topic> = TOPICS.choose_multiple(&mut rng, count).copied().collect();
        let first = topics[0];
        topics.retain(|topic| !first.excludes(*topic));
        if let [_, second, ..] = topics[..] {
            topics.retain(|topic| !second.excludes(*topic));
        }
        for topic in &topics {
            topic.dress(&mut phones, &mut lines, &mut rng);
        }
        let mut habit = |topic: &Topic| {
            let mut keys = Keys::default();
            topic.keys(true, &phones[0], &mut keys, &mut rng);
            (*topic, keys)
        };
        let habits = topics.iter().map(&mut habit).collect();
        Self {
            id: format!("story-{seed}-{attempt}"),
            topics,
            rng,
            phones,
            lines,
            offerer: 0,
            answerer: 1,
            answered: false,
            has_offer: false,
            is_deleted: false,
            unanswered: 0,
            offers: 0,
            seed,
            heard: None,
            habits,
            sent: Vec::new(),
        }
    }

    /// Whether there is nothing more to tell.
    pub(super) fn is_over(&self) -> bool {
        self.is_deleted
    }

    pub(super) fn length(&mut self) -> usize {
        self.rng.random_range(2..10)
    }

    /// What Windlass answered to the last request.
    pub(super) fn hear(&mut self, request: &Dict, reply: &Dict) {
        if request.get_str("command") == Some("offer") {
            self.heard = reply.get_str("sdp").map(str::to_owned);
        }
    }

    /// Whether the phones' ICE is passed on, with our candidates added.
    pub(super) fn relays_ice(&self) -> bool {
        self.habits.iter().any(|(_, keys)| keys.says("force-relay"))
    }

    fn is_about(&self, topic: Topic) -> bool {
        self.topics.contains(&topic)
    }

    /// The next request.
    ///
    /// # Panics
    /// The request is one that [`NOT_SENT`] names.
    pub(super) fn next(&mut self) -> Dict {
        let request = self.draw();
        for unsent in NOT_SENT {
            if let Rule::Request(is) = unsent.rule {
                let (what, why) = (unsent.what, unsent.why);
                assert!(
                    !is(&request, &self.sent),
                    "sent: {what} ({why}): {request:?}"
                );
            }
        }
        self.sent.push(request.clone());
        request
    }

    fn draw(&mut self) -> Dict {
        let other = self.rng.random_range(0..10);
        // One offer and one answer only: see `NOT_SENT` on relayed ICE.
        if self.relays_ice() && self.has_offer && (self.answered || !matches!(other, 4..=7)) {
            return Dict::new().with("command", "ping");
        }
        match other {
            // What an offer on an agreed call leaves before its answer differs on purpose.
            _ if self.answered && self.unanswered > 0 => self.answer(),
            _ if !self.has_offer && self.rng.random_range(0..8) > 0 => self.offer(),
            0..=3 => self.offer(),
            4..=7 => self.answer(),
            8 if self.is_about(Topic::Deletes) => self.delete_something(),
            8 if self.is_about(Topic::Pauses) => self.delete(30),
            8 | 9 if self.is_about(Topic::Queries) => self.query(),
            8 => self.unknown(),
            _ => Dict::new().with("command", "ping"),
        }
    }

    fn offer(&mut self) -> Dict {
        let forks = self.is_about(Topic::Forks);
        if forks && !self.answered {
            self.answerer = *[1, 2].choose(&mut self.rng).unwrap();
        }
        // Within a dialogue either party may offer.
        if self.answered && self.rng.random_range(0..3) == 0 {
            std::mem::swap(&mut self.offerer, &mut self.answerer);
        }
        let redraws = self.rng.random_range(0..4) == 0;
        let mut keys = Keys::default();
        for (topic, habit) in &self.habits {
            if redraws && !topic.is_for_good() {
                let phone = &self.phones[self.offerer];
                topic.keys(true, phone, &mut keys, &mut self.rng);
            } else {
                keys.extend(habit);
            }
        }
        for topic in self.topics.clone() {
            topic.change(
                &mut self.phones[self.offerer],
                &mut self.lines,
                &mut self.rng,
            );
        }
        let sdp = self.phones[self.offerer].offer(&self.lines, &mut self.rng);
        let mut request = Dict::new()
            .with("sdp", sdp)
            .with("call-id", self.id.as_str())
            .with("from-tag", self.phones[self.offerer].tag);
        if self.answered {
            request.push("to-tag", self.phones[self.answerer].tag);
        } else if forks {
            request.push("via-branch", ["a", "b", "c"][self.answerer]);
        }
        keys.write(&mut request);
        self.has_offer = true;
        self.unanswered += 1;
        self.offers += 1;
        request.with("command", "offer")
    }

    fn answer(&mut self) -> Dict {
        self.answered |= self.has_offer;
        self.unanswered = 0;
        // Every answer to one offer chooses the same codecs.
        let mut choice = StdRng::seed_from_u64(self.seed * 100 + self.offers);
        self.phones[self.answerer].take_family(self.heard.as_deref().unwrap_or_default());
        let mut keys = Keys::default();
        for (topic, habit) in &self.habits {
            let phone = &mut self.phones[self.answerer];
            match topic {
                Topic::Replace => keys.extend(habit),
                Topic::Ice if habit.says("force-relay") => {}
                Topic::Codecs | Topic::Security => topic.keys(false, phone, &mut keys, &mut choice),
                _ => topic.keys(false, phone, &mut keys, &mut self.rng),
            }
            topic.change(phone, &mut Vec::new(), &mut self.rng);
        }
        let plain = format!("{}\r\nm=audio 1 RTP/AVP 8 101", "v=0");
        let heard = self.heard.as_deref().unwrap_or(&plain);
        let sdp = self.phones[self.answerer].answer(heard, &mut choice, &mut self.rng);
        let mut request = Dict::new()
            .with("sdp", sdp)
            .with("call-id", self.id.as_str())
            .with("from-tag", self.phones[self.offerer].tag)
            .with("to-tag", self.phones[self.answerer].tag);
        if self.is_about(Topic::Forks) {
            request.push("via-branch", ["a", "b", "c"][self.answerer]);
        }
        keys.write(&mut request);
        request.with("command", "answer")
    }

    fn query(&mut self) -> Dict {
        let mut request = Dict::new().with("call-id", self.id.as_str());
        match self.rng.random_range(0..4) {
            0 => request.push("from-tag", self.phones[self.offerer].tag),
            1 if self.answered => request.push("to-tag", self.phones[self.answerer].tag),
            _ => {}
        }
        request.with("command", "query")
    }

    fn unknown(&mut self) -> Dict {
        let command = *["delete", "query", "answer"].choose(&mut self.rng).unwrap();
        let mut request = Dict::new().with("call-id", "nobody").with("from-tag", "F");
        match command {
            "answer" => {
                request.push("to-tag", "T");
                request.push("sdp", self.phones[1].offer(&self.lines, &mut self.rng));
            }
            "delete" if self.rng.random() => {
                request.push("flags", Value::List(vec![Value::from("fatal")]));
            }
            _ => {}
        }
        request.with("command", command)
    }

    fn delete_something(&mut self) -> Dict {
        let delay = self.rng.random_range(0..2) * 30;
        // Once is enough: what is left of the call differs.
        self.is_deleted = true;
        let mut request = Dict::new()
            .with("call-id", self.id.as_str())
            .with("delete-delay", Value::Int(delay));
        let mut flags = Vec::new();
        match self.rng.random_range(0..4) {
            0 => {}
            1 => request.push("from-tag", "stranger"),
            2 => request.push("from-tag", self.phones[self.offerer].tag),
            _ => {
                request.push("from-tag", self.phones[self.offerer].tag);
                request.push("to-tag", self.phones[self.answerer].tag);
                if self.rng.random() {
                    flags.push(Value::from("to-tag"));
                }
            }
        }
        if self.rng.random_range(0..3) == 0 {
            flags.push(Value::from("fatal"));
        }
        if !flags.is_empty() {
            request.push("flags", Value::List(flags));
        }
        request.with("command", "delete")
    }

    pub(super) fn delete(&self, delay: i64) -> Dict {
        Dict::new()
            .with("call-id", self.id.as_str())
            .with("delete-delay", Value::Int(delay))
            .with("flags", Value::List(vec![Value::from("fast")]))
            .with("command", "delete")
    }
}
