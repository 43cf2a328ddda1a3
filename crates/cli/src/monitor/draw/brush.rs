//! How things look: colours where they are seen, and a symbol for every state where they are not.

use ratatui::style::{Color, Modifier, Style};
use ratatui::symbols::{bar, border};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Block, Padding};

use crate::monitor::model::Look;
use crate::terminal::Tone;

/// What a terminal without more than ASCII draws frames with.
const ASCII_FRAME: border::Set<'static> = border::Set {
    top_left: "+",
    top_right: "+",
    bottom_left: "+",
    bottom_right: "+",
    vertical_left: "|",
    vertical_right: "|",
    horizontal_top: "-",
    horizontal_bottom: "-",
};

/// And its curves.
const ASCII_BARS: bar::Set<'static> = bar::Set {
    full: "#",
    seven_eighths: "#",
    three_quarters: "=",
    five_eighths: "=",
    half: "-",
    three_eighths: "-",
    one_quarter: ".",
    one_eighth: ".",
    empty: " ",
};

/// Paints for one terminal.
#[derive(Clone, Copy, Debug)]
pub(super) struct Brush {
    look: Look,
}

impl Brush {
    pub(super) fn new(look: Look) -> Self {
        Brush { look }
    }

    pub(super) fn style(self, tone: Tone) -> Style {
        let plain = Style::new();
        if !self.look.colour {
            return match tone {
                Tone::Strong | Tone::Bad | Tone::Warning => plain.add_modifier(Modifier::BOLD),
                Tone::Faint => plain.add_modifier(Modifier::DIM),
                Tone::Plain | Tone::Good => plain,
            };
        }
        match tone {
            Tone::Plain => plain,
            Tone::Good => plain.fg(Color::Green),
            Tone::Warning => plain.fg(Color::Yellow),
            Tone::Bad => plain.fg(Color::Red),
            Tone::Faint => plain.add_modifier(Modifier::DIM),
            Tone::Strong => plain.add_modifier(Modifier::BOLD),
        }
    }

    /// What is chosen, on every terminal.
    pub(super) fn chosen(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    pub(super) fn span(self, tone: Tone, text: &str) -> Span<'static> {
        Span::styled(self.text(text), self.style(tone))
    }

    pub(super) fn line(self, tone: Tone, text: &str) -> Line<'static> {
        Line::from(self.span(tone, text))
    }

    /// Text as the terminal can show it.
    pub(super) fn text(self, text: &str) -> String {
        if self.look.utf8 || text.is_ascii() {
            return text.to_owned();
        }
        let ascii = |c: char| match c {
            c if c.is_ascii() => c,
            '…' => '~',
            '←' => '<',
            '→' => '>',
            '↑' => '^',
            '↓' => 'v',
            '–' => '-',
            _ => '?',
        };
        text.chars().map(ascii).collect()
    }

    /// A line whose parts were made without the brush.
    pub(super) fn plain(self, line: Line<'static>) -> Line<'static> {
        let spans = line.spans.into_iter();
        Line::from(
            spans
                .map(|span| Span::styled(self.text(&span.content), span.style))
                .collect::<Vec<_>>(),
        )
    }

    pub(super) fn block(self, title: &str) -> Block<'static> {
        let set = if self.look.utf8 { border::PLAIN } else { ASCII_FRAME };
        Block::bordered()
            .border_set(set)
            .border_style(self.style(Tone::Faint))
            .title(Span::styled(self.text(title), self.style(Tone::Strong)))
            .padding(Padding::ZERO)
    }

    pub(super) fn bars(self) -> bar::Set<'static> {
        if self.look.utf8 { bar::NINE_LEVELS } else { ASCII_BARS }
    }

    /// The symbol of a state or standing, so that nobody needs colours to tell them apart.
    pub(super) fn mark(self, state: &str) -> &'static str {
        let (utf8, ascii) = match state {
            "ready" => ("●", "*"),
            "accepted" | "pending" | "preparing" => ("○", "o"),
            "running" | "open" => ("▶", ">"),
            "waiting" => ("◔", "~"),
            "paused" => ("‖", "="),
            "parked" | "in_doubt" => ("!", "!"),
            "succeeded" | "done" => ("✓", "+"),
            "failed" => ("✗", "x"),
            "cancelled" => ("⊘", "-"),
            "skipped" => ("·", "."),
            "restarting" => ("↻", "@"),
            "replaced" => ("⇄", "%"),
            "offline" => ("◌", "_"),
            "degraded" => ("◐", "!"),
            "held" => ("–", "-"),
            _ => ("?", "?"),
        };
        if self.look.utf8 { utf8 } else { ascii }
    }

    /// How much is done, as a bar of so many characters.
    pub(super) fn progress(self, done: u64, all: u64, width: usize) -> String {
        let cells = |n: u64| u128::from(n) * width as u128 / u128::from(all.max(1));
        let full = usize::try_from(cells(done)).unwrap_or(width).min(width);
        let (on, off) = if self.look.utf8 { ("█", "░") } else { ("#", ".") };
        format!("{}{}", on.repeat(full), off.repeat(width - full))
    }
}
