"""The part of the Eclipse Scripting API (ESAPI) that the bridge needs, in Python, with no Eclipse behind it.

Public names, parameters, enumerations and their values are those of ESAPI 15.6 to 18.0, as ``signatures.yaml`` lists
them. What the real host refuses, the stub refuses too, and each rule says whether Varian documents it, clinics' scripts
show it, or it is our guess (:mod:`esapi_stub.rules`). Geometry and DVHs are those of :mod:`bridge.rt`. Plans are
optimized and doses calculated by whatever :class:`~esapi_stub.planning.PlanningEngine` the database is given.
"""
