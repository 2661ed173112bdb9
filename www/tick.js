// The page's clock, run as a Worker: a window's own timers fire once a minute in a tab that has been hidden for
// five minutes, a Worker's do not.
setInterval(() => postMessage(0), 250);
