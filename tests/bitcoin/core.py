"""Bitcoin Core's own verdict on a script, through libbitcoinkernel."""

from __future__ import annotations

from collections.abc import Sequence

from superscalar_ref.bitcoin.transaction import Transaction, TxOutput


def core_accepts(transaction: Transaction, index: int, spent: Sequence[TxOutput]) -> bool:
    """Whether Core's code accepts input ``index`` with every consensus rule on."""
    import pbk
    from pbk.script import PrecomputedTransactionData

    outputs = [pbk.TransactionOutput(pbk.ScriptPubkey(o.script_pubkey), o.amount_sat) for o in spent]
    kernel_transaction = pbk.Transaction(transaction.serialized)
    data = PrecomputedTransactionData(kernel_transaction, outputs)
    script = pbk.ScriptPubkey(spent[index].script_pubkey)
    flags = pbk.ScriptVerificationFlags.ALL
    try:
        return bool(script.verify(spent[index].amount_sat, kernel_transaction, data, index, flags))
    except pbk.ScriptVerifyException:
        return False
