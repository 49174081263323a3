"""What can go wrong, by whose hand it is mended.

Every message is one line: what was given, what is allowed, what to do next.
"""

from collections.abc import Iterable

AGAIN = "copy or make it again"  # what to do with a damaged file


class ZeldoError(Exception):
    """Base of every error that zeldo raises on purpose."""


class InputError(ZeldoError, ValueError):
    """The caller gave something that is not allowed. Exit status 2."""


class DamagedFileError(InputError):
    """A file is truncated, inconsistent with its own header, or not what it says. Exit status 2."""


class ConvergenceError(ZeldoError, RuntimeError):
    """A numerical method did not reach its tolerance. Exit status 1."""


class ZeldoWarning(UserWarning):
    """What a user should know although the work goes on."""


# names of other codes, and of options elsewhere, without case and underscores: ours, and what to say of it
ELSEWHERE = {
    **dict.fromkeys(("om", "om0", "omegam0", "omegamatter"), ("omega_m", "")),
    **dict.fromkeys(("ob", "ob0", "omegab0", "omegabaryon"), ("omega_b", "")),
    **dict.fromkeys(("h0", "hubble", "hubbleparam"), ("h", "H0 / 100")),
    **dict.fromkeys(("as", "logas"), ("sigma_8", "in place of A_s")),
    **dict.fromkeys(("ombh2", "obh2", "omegabh2"), ("omega_b", "divided by h^2")),
    **dict.fromkeys(
        ("omch2", "omegach2", "omegacdm", "ommh2", "omegamh2"), ("omega_m", "all matter, and divided by h^2")
    ),
    **dict.fromkeys(("w", "wde"), ("w0", "")),
    **dict.fromkeys(("z", "redshifts"), ("redshift", "")),
    **dict.fromkeys(("boxsize", "lbox"), ("box", "Mpc/h")),
}
NOTHING = {
    **dict.fromkeys(
        ("omegalambda", "omegal", "omegade", "ode0", "ol0"), "the universe is flat: leave it out"
    ),
    **dict.fromkeys(("omegak", "ok0"), "the universe is flat: leave it out"),
    **dict.fromkeys(("mnu", "mnue", "sumnu"), "neutrinos are massless: leave it out"),
    **dict.fromkeys(
        ("steps", "stepper", "exponent", "meshfactor", "sharpening", "softening", "startredshift", "device")
        + ("checkpoint", "checkpointminutes", "extrapolate", "precision", "preset", "tiles", "weights"),
        "options of an engine follow its name, as in cola:steps=20",
    ),
}


def elsewhere(name: object, allowed: Iterable[str]) -> tuple[str, str]:
    """What of `allowed` other codes call `name`, and what to say of it; an empty name where there is no such thing here."""
    names, bare = list(allowed), str(name).lower().replace("_", "")
    ours, words = ELSEWHERE.get(bare, ("", ""))
    if ours in names:
        return ours, words
    return "", NOTHING.get(bare, "") if "omega_m" in names else ""


def nearest(name: object, allowed: Iterable[str]) -> str:
    """`"; did you mean 'x'?"` where `name` is close to one of `allowed`, or what other codes call it; else nothing."""
    import difflib

    names = list(allowed)
    ours, words = elsewhere(name, names)
    if ours:
        return f"; did you mean {ours!r}{f' ({words})' if words else ''}?"
    if words:
        return f"; {words}"
    bare = {allowed.lower(): allowed for allowed in map(str, names)}  # mpc/h is Mpc/h, and not kpc/h
    close = difflib.get_close_matches(str(name).lower(), bare, n=1)
    return f"; did you mean {bare[close[0]]!r}?" if close else ""
