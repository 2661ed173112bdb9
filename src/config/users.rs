//! Who has which password: the users file, in htpasswd's format.
