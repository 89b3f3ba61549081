"""The only thing two Watchline programs share: messages, records, subjects and the codec."""
