//! What is said between the floors: plain values, no behaviour beyond naming and ordering them.
//!
//! | file | what it has |
//! |---|---|
//! | `words` | closed sets: roles, reasons |
//! | `ground` | time and names |
//! | `events` | members, events, messages that pass |
//! | `devices` | what concerns devices |
//! | `effects` | what the hub wants done |
//! | `liveness` | how the peer of a link is |
//! | `kernel` | what the kernel can do |
//!
//! Never does: input, output, clocks, randomness. Time comes in as [`Now`].

/// Defines a closed set of words: the variants, and the one word by which each is known in events, metrics and logs.
macro_rules! words {
    ($(#[$meta:meta])* $name:ident { $($(#[$vmeta:meta])* $variant:ident => $word:literal,)+ }) => {
        $(#[$meta])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum $name { $($(#[$vmeta])* $variant,)+ }

        impl $name {
            /// Every one of them, in the order of declaration.
            pub const ALL: &'static [$name] = &[$($name::$variant,)+];

            /// The word for it.
            pub const fn word(self) -> &'static str {
                match self { $($name::$variant => $word,)+ }
            }

            /// What that word means; `None` for a word that is not one of these.
            pub fn from_word(word: &str) -> Option<Self> {
                match word { $($word => Some($name::$variant),)+ _ => None }
            }
        }

        impl ::std::fmt::Display for $name {
            fn fmt(&self, f: &mut ::std::fmt::Formatter<'_>) -> ::std::fmt::Result {
                f.write_str(self.word())
            }
        }
    };
}

mod devices;
mod effects;
mod events;
mod ground;
mod kernel;
mod liveness;
mod words;

pub use devices::*;
pub use effects::*;
pub use events::*;
pub use ground::*;
pub use kernel::*;
pub use liveness::*;
pub use words::*;
