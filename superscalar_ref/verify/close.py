"""Scenario 'close': everybody online, one transaction from the funding output to everyone."""

from __future__ import annotations

from superscalar_ref.report.result import Check
from superscalar_ref.verify.scene import Named, Scene, Trial, wallet_script


def close_together(scene: Scene) -> tuple[Check, Trial]:
    """Close the factory cooperatively and look at what each party got."""
    scene.progress("cooperative close")
    trial = Trial("close", scene.start.fork())
    with scene.again() as home:
        parties = scene.parties(home)
        watchers = [scene.watch(actor, trial) for actor in parties.everyone()]
        parties.wire.post(parties.lsp.name, parties.lsp.close())
        parties.wire.run()
        names = [n for n in parties.lsp.held if n.startswith("close:")]
        if len(names) != 1:
            parties.close()
            said = parties.wire.alerts[0] if parties.wire.alerts else f"the LSP is '{parties.lsp.life.status}'"
            return _check(f"not signed: {said}", passed=False), trial
        (name,) = names
        template = parties.lsp.factory.templates[name]
        transaction = parties.wire.broadcasts.pop()
        height = trial.mine(Named(name, "close", transaction, template.fee))
        trial.ledger.advance(scene.depth() - 1)
        for watcher in watchers:
            watcher.look()
        statuses = {actor.name: actor.party.life.status for actor in parties.everyone()}
        parties.close()
    problems = [
        f"{who} is '{status}'"
        for who, status in statuses.items()
        if status != ("closed" if who == scene.example.lsp else "left")
    ]
    for client in scene.example.clients:
        script = wallet_script(scene.example, client.name)
        paid = sum(output.amount_sat for output in transaction.outputs if output.script_pubkey == script)
        if paid != client.balance:
            problems.append(f"{client.name} got {paid} sat, {client.balance} are its own")
    if not trial.conserved():
        problems.append("value is not conserved")
    detail = f"one transaction of {transaction.vbytes} vbytes and {template.fee} sat at height {height}"
    return _check(problems[0] if problems else detail, passed=not problems), trial


def _check(detail: str, *, passed: bool) -> Check:
    return Check(
        "close/together",
        "close",
        "a cooperative close pays every client its balance in one transaction",
        passed,
        detail,
        ("CLI-8", "FAC-20"),
    )
