//! What a configuration means for the engine: the log, addresses, identity, defaults.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use rand::Rng;
use windlass_audio::chain::Silence;
use windlass_audio::library::Libraries;
use windlass_audio::negotiate::Support;
use windlass_dtls::{CertificateConfig, CertificateError, KeyKind, SignatureHash};
use windlass_ice::agent::{Freshness, Mode};
use windlass_ng::Templates;
use windlass_ng::request::VscCodes;

use crate::agents;
use crate::call::ports::{LocalAddress, PortPool};
use crate::call::{self, Identity, SsrcReporting};
use crate::config::topic::{self, Liking};
use crate::config::{Config, Interface, LogFormat, codecs};
use crate::dataplane::{Offload, OffloadMode, SteeredPorts, Steering};
use crate::limits::{KERNEL_FLOWS, SYSLOG_LINE_CHARS};
use crate::media::quality::Model;
use crate::media::reach::{self, MediaPorts, Prefix};
use crate::media::report::{Basis, Scoring};
use crate::observe::load::LoadLimits;
use crate::observe::log::{self, Form, Shape};

/// The log. What goes to the syslog has rtpengine's form, whatever `[log]` says.
pub fn logging(config: &Config) -> log::Settings {
    let syslog = &config.syslog;
    let shape = match (syslog.engine, config.log.format) {
        (true, _) | (_, LogFormat::Rtpengine) => Shape::Rtpengine(form(syslog)),
        (false, LogFormat::Human) => Shape::Human,
        (false, LogFormat::Json) => Shape::Json,
    };
    let to_syslog = || (syslog.facility, syslog.name.clone());
    log::Settings {
        level: config.log.level.clone(),
        shape,
        syslog: syslog.engine.then(to_syslog),
    }
}

/// The form of lines that rtpengine would write. A syslog knows the time itself, and takes no long
/// lines.
fn form(settings: &topic::Syslog) -> Form {
    let max = match (settings.max_line_length, settings.engine) {
        (Some(max), _) => usize::try_from(max).unwrap_or(usize::MAX),
        (None, true) => SYSLOG_LINE_CHARS,
        (None, false) => 0,
    };
    Form {
        call_prefix: settings.call_prefix,
        timestamps: settings.timestamps && !settings.engine,
        split: settings.split_lines,
        max_chars: (max > 0).then_some(max),
        mark_prefix: settings.mark_prefix.clone(),
        mark_suffix: settings.mark_suffix.clone(),
    }
}

/// Media addresses and their pools. Entries of one address and range share a pool.
pub(crate) fn addresses(config: &Config, rng: &mut impl Rng) -> Vec<LocalAddress> {
    let mut addresses: Vec<LocalAddress> = Vec::new();
    // Under its aliases, an interface is there once more, with the same ports.
    let aliased = config.aliases.iter().flat_map(|(alias, name)| {
        let interfaces = config.logical(name);
        interfaces.map(move |interface| (alias, interface))
    });
    let own = config.interfaces.iter().map(|i| (&i.name, i));
    for (name, interface) in own.chain(aliased) {
        let range = (interface.ports.min, interface.ports.max);
        let shared = addresses
            .iter()
            .find(|other| other.address == interface.address && other.pool.range() == range);
        let pool = match shared {
            Some(other) => other.pool.clone(),
            None => {
                let kept = config.kept_ports(interface);
                Arc::new(PortPool::without(range.0, range.1, &kept, rng))
            }
        };
        addresses.push(LocalAddress {
            name: name.as_str().into(),
            address: interface.address,
            advertised: interface.advertised(),
            pool,
        });
    }
    addresses
}

/// Whether the ports of all media addresses are steered.
pub(crate) fn steering(config: &Config) -> Steering {
    let ports = || {
        let interfaces = config.interfaces.iter();
        let range = |interface: &Interface| {
            let ports = &interface.ports;
            (interface.address, ports.min, ports.max)
        };
        SteeredPorts {
            ranges: interfaces.map(range).collect(),
            refuse_binds: config.dataplane.refuse_binds,
        }
    };
    match config.dataplane.steering {
        topic::Steering::Auto => Steering::Auto(ports()),
        topic::Steering::Off => Steering::Off,
        topic::Steering::Required => Steering::Required(ports()),
    }
}

/// The streams that the kernel forwards.
pub(crate) fn offload(config: &Config) -> Offload {
    // A flow is a port for RTP: every other one.
    let flows = config.interfaces.iter().map(|interface| {
        let ports = &interface.ports;
        u32::from(ports.max.saturating_sub(ports.min)) / 2 + 1
    });
    Offload {
        mode: match config.offload.mode {
            topic::OffloadMode::Auto => OffloadMode::Auto,
            topic::OffloadMode::Off => OffloadMode::Off,
            topic::OffloadMode::Tc => OffloadMode::Tc,
            topic::OffloadMode::Xdp => OffloadMode::Xdp,
        },
        addresses: config.interfaces.iter().map(|one| one.address).collect(),
        max_flows: flows.fold(0, u32::saturating_add).min(KERNEL_FLOWS),
    }
}

/// Forbidden destinations of media. `host`: the addresses of this host.
pub(crate) fn reach(config: &Config, host: Vec<IpAddr>) -> reach::Rules {
    let ports = config.interfaces.iter().map(|interface| MediaPorts {
        address: interface.address,
        advertised: interface.advertised(),
        min: interface.ports.min,
        max: interface.ports.max,
    });
    let destinations = &config.media.destinations;
    let forbidden = destinations.forbid.iter().map(|network| {
        let (address, bits) = network.parts();
        Prefix { address, bits }
    });
    let beside = destinations.host_ports.iter();
    reach::Rules {
        media: ports.collect(),
        host: host.into(),
        beside: beside.map(|ports| (ports.first, ports.last)).collect(),
        forbidden: forbidden.collect(),
        listeners: config.listeners(),
        ..reach::Rules::default()
    }
}

/// The libraries of codecs that are there; what is not is logged.
pub(crate) fn libraries(config: &Config) -> Libraries {
    let (libraries, found) = codecs::open(&config.audio);
    for (id, result) in found {
        if let Err(error) = result {
            tracing::info!(?id, %error, "a library of codecs is not there; they pass as they are");
        }
    }
    libraries
}

/// How audio is converted.
fn audio(config: &Config, libraries: &Libraries) -> call::AudioDefaults {
    let audio = &config.audio;
    call::AudioDefaults {
        support: Support::new(libraries),
        preferences: audio.preferences.iter().map(Liking::preference).collect(),
        silence_below: audio.silence_detect.map_or(0, Silence::threshold_of),
        noise: audio.cn_payload.clone(),
        keep_audio_in_events: !config.dtmf.suppress,
        timestamp_gaps: audio.timestamp_gaps,
        max_chains: audio.max_chains,
    }
}

pub(crate) fn defaults(
    config: &Config,
    libraries: &Libraries,
    reach: Arc<reach::Rules>,
) -> call::Defaults {
    call::Defaults {
        reach,
        audio: audio(config, libraries),
        learning: config.media.learning,
        tos: Some(config.media.tos).filter(|&tos| tos > 0),
        signalling_hops: config.media.signalling_hops.clone(),
        sip_source: config.signalling.sip_source,
        dtls_passive: config.dtls.passive,
        save_interface_ports: config.signalling.save_interface_ports,
        reject_invalid_sdp: config.signalling.reject_invalid_sdp,
        report_digits: config.dtmf.log_dest.is_some()
            || config.dtmf.log_ng_tcp
            || config.syslog.dtmf.is_some(),
        codes: VscCodes {
            start: config.recording.start_code.clone(),
            stop: config.recording.stop_code.clone(),
            start_stop: config.recording.start_stop_code.clone(),
            pause: config.recording.pause_code.clone(),
            pause_resume: config.recording.pause_resume_code.clone(),
            start_pause_resume: config.recording.start_pause_resume_code.clone(),
        },
        digit_gap: config.dtmf.digit_delay,
        ssrc_reporting: match config.quality.ssrc_reporting {
            topic::SsrcReporting::Full => SsrcReporting::Full,
            topic::SsrcReporting::Inline => SsrcReporting::Inline,
            topic::SsrcReporting::Global => SsrcReporting::Global,
            topic::SsrcReporting::None => SsrcReporting::None,
        },
        measure: call::Measure {
            own: config.quality.measure_rtp,
            scoring: scoring(config),
        },
        log_marks: call::Marks {
            prefix: config.syslog.mark_prefix.clone(),
            suffix: config.syslog.mark_suffix.clone(),
        },
    }
}

/// What this relay shows of itself, drawn anew with every start. `unix` is the time since 1970.
pub(crate) fn identity(
    config: &Config,
    unix: Duration,
    rng: &mut impl Rng,
) -> Result<Identity, CertificateError> {
    let software = &config.signalling.software_id;
    let addresses = config.interfaces.iter().map(|interface| interface.address);
    Identity::new(certificate(config), unix, addresses, software, rng)
}

/// What agents have in common.
pub(crate) fn agents(config: &Config) -> agents::Settings {
    // Drawn once per process (RFC 8445 §16.1).
    let tie_breaker = rand::rng().random();
    agents::Settings {
        ice: windlass_ice::agent::Config {
            mode: Mode::Full,
            freshness: match config.ice.consent {
                true => Freshness::Consent,
                false => Freshness::Assumed,
            },
            software: config.signalling.software_id.as_str().into(),
            tie_breaker,
        },
        // IPv6 and UDP headers.
        mtu: usize::from(config.dtls.mtu) - 48,
    }
}

/// What the certificate for DTLS is made of. Weaker ones than peers of today take are not made.
fn certificate(config: &Config) -> CertificateConfig {
    let bits = match config.dtls.rsa_key_size {
        ..=2048 => 2048,
        2049..=3072 => 3072,
        3073.. => 4096,
    };
    CertificateConfig {
        common_name: config.signalling.software_id.clone(),
        key: match config.dtls.cert_cipher {
            topic::CertificateCipher::Prime256v1 => KeyKind::EcdsaP256,
            topic::CertificateCipher::Rsa => KeyKind::Rsa(bits),
        },
        signature: SignatureHash::Sha256,
    }
}

pub(crate) fn timeouts(config: &Config) -> call::Timeouts {
    call::Timeouts {
        media: config.timeouts.media,
        silent: config.timeouts.silent,
        offer: config.timeouts.offer,
        total: config.timeouts.final_limit,
        delete_delay: config.timeouts.delete_delay,
    }
}

pub(crate) fn limits(config: &Config) -> call::Limits {
    call::Limits {
        max_sessions: config.limits.max_sessions.map(|max| max as u64),
        load: LoadLimits {
            average_1min: config.limits.max_load,
            cpu_percent: config.limits.max_cpu,
            bytes_per_s: config.limits.max_bandwidth,
        },
    }
}

/// The templates, checked: mistakes are logged once, not with every request.
pub(crate) fn templates(config: &Config) -> Templates {
    let mut templates = Templates::new();
    for (name, string) in &config.templates {
        match templates.check(string) {
            Ok(ignored) => {
                for ignored in ignored {
                    tracing::warn!(
                        template = name,
                        ?ignored,
                        "part of a template has no effect"
                    );
                }
            }
            Err(error) => tracing::warn!(template = name, %error, "a template cannot be read"),
        }
        templates.insert(name, string);
    }
    templates
}

/// How mean opinion scores are made.
pub(crate) fn scoring(config: &Config) -> Scoring {
    Scoring {
        basis: match config.quality.mos {
            topic::MosBasis::Conversational => Basis::Conversational,
            topic::MosBasis::Listening => Basis::Listening,
        },
        model: match config.quality.mos_model {
            topic::MosModel::Legacy => Model::Legacy,
            topic::MosModel::G107 => Model::G107,
            topic::MosModel::G107Fullband => Model::Fullband,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_for_a_syslog_have_no_time_and_an_end() {
        let mut config = Config::default();
        config.log.format = LogFormat::Json;
        config.syslog.engine = true;
        let settings = logging(&config);
        let Shape::Rtpengine(form) = &settings.shape else {
            panic!("{settings:?}");
        };
        assert_eq!(
            (form.timestamps, form.max_chars),
            (false, Some(SYSLOG_LINE_CHARS))
        );
        assert!(settings.syslog.is_some());
        config.syslog.engine = false;
        let settings = logging(&config);
        assert!(matches!(settings.shape, Shape::Json) && settings.syslog.is_none());
        config.log.format = LogFormat::Rtpengine;
        let settings = logging(&config);
        let Shape::Rtpengine(form) = &settings.shape else {
            panic!("{settings:?}");
        };
        assert_eq!((form.timestamps, form.max_chars), (true, None));
    }
}
