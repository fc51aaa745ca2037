# Copyright (c) 2026 the xswan.ipsec authors
# GNU General Public License v3.0+ (see COPYING or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later

"""Install a configuration only after it was proven: observe -> try -> plan -> apply -> observe."""

from __future__ import annotations

import dataclasses
import typing as t

from ._candidate import BACKUP, Candidate, Difference, File, difference, secrets_in
from ._confirm import arm
from ._errors import ConfigError, DependencyError, IPsecError, VerifyError, after_changes
from ._faults import CURES, Fault, Method, Trial, faults
from ._ipsec_conf import IPsecConf, read_conf
from ._record import RECORD, as_it_is, as_it_was, differs, forget, kept, record, recorded

if t.TYPE_CHECKING:
    from ._config_host import ConfigHost

Preflight = t.Literal["auto", "sandbox", "static"]

WHAT_STATIC_MISSES = (
    "only the syntax was checked, not what pluto makes of it: algorithms, subnets and certificates may still be wrong"
)
SECRETS_NOT_SHOWN = "(secrets are not shown)\n"


@dataclasses.dataclass(frozen=True)
class Proposal:
    """What the task asks for."""

    candidate: Candidate
    secrets: tuple[str, ...]
    """Files of secrets, whether they are to change or not."""
    preflight: Preflight = "auto"
    strict: bool = False
    """Refuse also what is only a warning."""
    accept: frozenset[str] = frozenset()
    """Identities of faults that are to be warnings, and never refused."""
    keep: int = 5
    """Backups of each file."""
    timeout: float = 60.0
    """Seconds that the trial may take."""
    record: bool = False
    """Record how the files were before, if that is not recorded."""
    purge: bool = False
    """Put back the recorded files that are not in the candidate."""
    confirm_timeout: int | None = None
    """Seconds after which the old files are put back, unless the new ones are confirmed; None: they stay."""


@dataclasses.dataclass(frozen=True)
class Installation:
    """What was found, and what was done, or in check mode would be."""

    before: tuple[File, ...]
    changes: tuple[File, ...]
    """The files that were not as they are to be."""
    difference: Difference
    method: Method = "none"
    """How it was tried."""
    found: tuple[Fault, ...] = ()
    """What is wrong with it, whatever the task accepts."""
    faults: tuple[Fault, ...] = ()
    """The same, with what the task accepts as warnings."""
    backups: tuple[str, ...] = ()
    recorded: tuple[str, ...] = ()
    """The parts of the record of which there is anything."""
    confirm_timeout: int | None = None
    """Seconds until it, or a former one that nobody has confirmed, is taken back; None: it stays."""

    def to_result(self) -> dict[str, t.Any]:
        """The module's result."""
        diff = self.difference
        return {
            "changed": bool(self.changes),
            "files": [file.path for file in self.changes],
            "backups": list(self.backups),
            "preflight": self.method,
            "findings": [report(fault) for fault in self.faults],
            "warnings": [f"{fault.message}; {fault.cure}" for fault in self.faults],
            "connections": {
                "added": list(diff.added),
                "changed": {name: list(keys) for name, keys in diff.changed},
                "removed": list(diff.removed),
                "unchanged": len(diff.unchanged),
            },
            "setup_changed": list(diff.setup),
            "restart_required": list(diff.setup),
            "secrets_changed": diff.secrets,
            "impact": list(diff.impact()),
            "confirm_timeout": self.confirm_timeout,
            "recorded": list(self.recorded),
            "diff": [_diff(file, old) for file, old in zip(self.changes, self.before)],
        }


def report(fault: Fault) -> dict[str, t.Any]:
    """A fault as the module returns it."""
    return {**dataclasses.asdict(fault), "cure": fault.cure}


def _holds_secrets(file: File, old: File) -> bool:
    """Whether it does, or did. Of a file that is to be removed nobody need say so, and its mode tells."""
    private = old.permissions is None or not old.permissions & 0o077
    return file.secret or (file.text is None and private)


def _diff(file: File, old: File) -> dict[str, str]:
    secret = _holds_secrets(file, old)
    texts = ["" if text is None else SECRETS_NOT_SHOWN if secret else text for text in (old.text, file.text)]
    if secret and old.text is not None and file.text is not None and old.text != file.text:
        texts = [SECRETS_NOT_SHOWN, f"changed {SECRETS_NOT_SHOWN}"]
    return {"before_header": file.path, "after_header": file.path, "before": texts[0], "after": texts[1]}


def install(proposal: Proposal, host: ConfigHost, *, check_mode: bool) -> Installation:
    """Try the candidate, and install it when nothing is wrong with it; in check mode only say what would be done.

    ConfigError with all findings when it is refused; then, and after every other error, nothing has changed.
    """
    if check_mode:
        return _tried(proposal, host)
    with host.guard.exclusive(proposal.timeout * 2):
        tried = _tried(proposal, host)
        candidate = _resolved(proposal.candidate, host)
        wanted = candidate.files
        _tidy(wanted, host, proposal.keep)
        before = recorded(host.files, "files")
        if proposal.record:
            # before the installation: it may end half-way
            before = {**{file.path: as_it_is(host.files, file) for file in wanted}, **before}
            record(host.files, "files", before)
        host.rollback.forget()
        paths = {file.path for file in wanted}
        purged = tuple(path for path in before if path not in paths) if proposal.purge else ()
        backups = _to_confirm(tried, purged, proposal, host)
        with after_changes(bool(tried.changes)):
            # what may come back is still ours: then it is forgotten when the change is confirmed
            if host.rollback.pending() is None:
                gone = forget(host.files, purged)
                backups = tuple(backup for backup in backups if backup not in gone)
            if tried.method == "sandbox":
                host.sandbox.remember(read_conf(host.files, candidate.config), tried.found)
            return dataclasses.replace(tried, backups=backups, recorded=kept(host.files))


def _to_confirm(tried: Installation, purged: tuple[str, ...], proposal: Proposal, host: ConfigHost) -> tuple[str, ...]:
    """Install it, so that it is taken back unless it is confirmed, if that is asked for."""
    if proposal.confirm_timeout is None or not tried.changes:
        return _installed(tried, host, proposal.keep)
    pending = host.rollback.pending()
    arm(host, proposal.candidate.config, tried.before, purged, proposal.confirm_timeout, proposal.keep)
    try:
        return _installed(tried, host, proposal.keep)
    except IPsecError as exc:
        # where every file is as it was, there is nothing to take back
        if pending is None and not exc.changed:
            host.rollback.disarm()
        raise


def restore(config: str, host: ConfigHost, timeout: float, *, check_mode: bool) -> Installation:
    """Put back every recorded file as it was, and remove the backups of each; in check mode only say so.

    What was there before is not tried.
    """
    if check_mode:
        return _restoration(config, host)
    with host.guard.exclusive(timeout):
        _tidy(tuple(as_it_was(path, was) for path, was in recorded(host.files, "files").items()), host, 0)
        found = _restoration(config, host)
        _installed(found, host, 0)
        with after_changes(bool(found.changes)):
            record(host.files, "files", {})
            host.rollback.forget()
            if host.rollback.pending() is not None:
                host.rollback.disarm()
        return dataclasses.replace(found, recorded=kept(host.files))


def _tidy(files: tuple[File, ...], host: ConfigHost, keep: int) -> None:
    """Nothing may stay of a run that was killed, or whose host lost power: what it left may hold secrets."""
    host.files.tidy(files, keep)
    host.files.tidy((File(RECORD, None, secret=True),), 0)


def _restoration(config: str, host: ConfigHost) -> Installation:
    olds = tuple(as_it_was(path, was) for path, was in recorded(host.files, "files").items())
    backups = [
        dataclasses.replace(file, path=path, text=None) for file in olds for path in host.files.glob(file.backups)
    ]
    candidate = Candidate(host.files.real(config), (*olds, *backups))
    return dataclasses.replace(_comparison(candidate, host), recorded=_kept(host, files=False))


def _installed(found: Installation, host: ConfigHost, keep: int) -> tuple[str, ...]:
    if not found.changes:
        return ()
    # what is about to go is what the pluto that runs has read, if it is older than that
    host.baseline.note()
    backups = host.files.install(found.changes, keep)
    with after_changes(True):
        left = [file.path for file in found.changes if differs(host.files, file)]
        if left:
            raise VerifyError(f"installed, but not as asked: {', '.join(left)}", left=left)
    host.journal.write(f"installed {', '.join(file.path for file in found.changes)}")
    return backups


def _tried(proposal: Proposal, host: ConfigHost) -> Installation:
    unknown = proposal.accept - CURES.keys()
    if unknown:
        raise ConfigError(f"accept: there is no finding {', '.join(sorted(unknown))}; it is one of {', '.join(CURES)}")
    candidate = _resolved(proposal.candidate, host)
    named = {file.path for file in candidate.files}
    if proposal.purge:
        olds = (as_it_was(path, was) for path, was in recorded(host.files, "files").items() if path not in named)
        candidate = Candidate(candidate.config, (*olds, *candidate.files))
    after_files = candidate.over(host.files)
    after = read_conf(after_files, candidate.config)
    if after_files.read(candidate.config) is None:
        raise ConfigError(
            f"{candidate.config} does not exist, and is not among what is to be installed; give content or src"
        )
    compared = _judged(_comparison(candidate, host), proposal, candidate, after, host)
    stay = {path for path in recorded(host.files, "files") if path in named or not proposal.purge}
    compared = dataclasses.replace(compared, recorded=_kept(host, files=bool(stay or (proposal.record and named))))
    _refuse(compared.faults, proposal)
    pending = host.rollback.pending()
    if not compared.changes:
        # what a former run left unconfirmed is in place, and is taken back all the same
        left = None if pending is None else max(1, int(pending.until - host.clock.epoch()))
        return dataclasses.replace(compared, confirm_timeout=left)
    if proposal.confirm_timeout is None and pending is not None:
        raise ConfigError(
            "the configuration before this one still waits to be confirmed, nothing was changed; "
            "confirm it with state confirmed, or wait until it is taken back, or give confirm_timeout here too"
        )
    return dataclasses.replace(compared, confirm_timeout=proposal.confirm_timeout)


def _judged(
    compared: Installation, proposal: Proposal, candidate: Candidate, after: IPsecConf, host: ConfigHost
) -> Installation:
    """With what is wrong with it, by a trial, or where it is installed already by a former one."""
    found = host.sandbox.known(after) if proposal.preflight == "auto" and not compared.changes else None
    method: Method = "known"
    if found is None:
        if host.pluto.program() is None:
            raise DependencyError("there is no `ipsec` command on this host; install the package libreswan")
        trial = _try(proposal, candidate, after, host)
        method, after_files = trial.method, candidate.over(host.files)
        hidden: set[str] = set()
        for path in (*proposal.secrets, *(file.path for file in candidate.files if file.secret)):
            for text in (host.files.read(path), after_files.read(path)):
                hidden |= secrets_in(text or "")
        found = (*_without_sandbox(trial), *faults(after, trial, hidden))
    accepted = tuple(
        dataclasses.replace(fault, severity="warning") if fault.id in proposal.accept else fault for fault in found
    )
    return dataclasses.replace(compared, method=method, found=found, faults=accepted)


def _comparison(candidate: Candidate, host: ConfigHost) -> Installation:
    """How the candidate differs from what is there."""
    before, after = read_conf(host.files, candidate.config), read_conf(candidate.over(host.files), candidate.config)
    changes = tuple(file for file in candidate.files if differs(host.files, file))
    olds = tuple(as_it_was(file.path, as_it_is(host.files, file)) for file in changes)
    secrets = any(_holds_secrets(file, old) and file.text != old.text for file, old in zip(changes, olds))
    compared = difference(before, after, secrets=secrets, groups=_groups(changes))
    return Installation(olds, changes, compared)


def _kept(host: ConfigHost, *, files: bool) -> tuple[str, ...]:
    """The parts of which anything is recorded, if of files there is."""
    others = {part for part in kept(host.files) if part != "files"}
    return tuple(sorted({*others, "files"} if files else others))


def _groups(changes: tuple[File, ...]) -> tuple[str, ...]:
    """The names of the policy groups among them: ipsec.conf(5)."""
    paths = (file.path for file in changes if not file.path.endswith(BACKUP))
    return tuple(sorted(path.rpartition("/")[2] for path in paths if path.split("/")[-2] == "policies"))


def _without_sandbox(trial: Trial) -> t.Iterator[Fault]:
    if trial.reason:
        yield Fault("no-sandbox", "warning", f"{trial.reason}; {WHAT_STATIC_MISSES}")


def _resolved(candidate: Candidate, host: ConfigHost) -> Candidate:
    files = tuple(dataclasses.replace(file, path=host.files.real(file.path)) for file in candidate.files)
    twice = {file.path for file in files if [other.path for other in files].count(file.path) > 1}
    if twice:
        raise ConfigError(f"{', '.join(sorted(twice))} is to be installed twice, with different contents; name it once")
    return Candidate(host.files.real(candidate.config), files)


def _try(proposal: Proposal, candidate: Candidate, after: IPsecConf, host: ConfigHost) -> Trial:
    reason = ""
    if proposal.preflight != "static":
        try:
            host.sandbox.check()
            began = host.clock.now()
            trial = host.sandbox.load(candidate, after, proposal.timeout)
            host.clock.waited(began, "a throw-away pluto to load the candidate")
            return trial
        except DependencyError as exc:
            if proposal.preflight == "sandbox":
                raise DependencyError(
                    f"{exc}; mend that, or use preflight auto to have only the syntax checked"
                ) from exc
            reason = str(exc)
    return host.sandbox.check_only(candidate, candidate.over(host.files), reason)


def _refuse(found: tuple[Fault, ...], proposal: Proposal) -> None:
    judged = [fault for fault in found if fault.id not in proposal.accept]
    wrong = [fault for fault in judged if proposal.strict or fault.severity == "error"]
    if not wrong:
        return
    more = f" (and {len(wrong) - 1} more, see error.findings)" if len(wrong) > 1 else ""
    raise ConfigError(
        f"the configuration is refused, nothing was changed: {wrong[0].message}; {wrong[0].cure}{more}",
        findings=[report(fault) for fault in found],
    )
