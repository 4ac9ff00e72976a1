"""The DICOM node: receives, keeps and sends instances. It knows nothing of dose, of cases or of the database.

What lies above implements two small protocols: :class:`bridge.node.instances.InstanceIndex` (one row per instance that
is on disk) and :class:`bridge.node.ledger.DeliveryLedger` (one row per instance and destination).
"""
