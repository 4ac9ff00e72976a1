"""A photon dose engine and fluence optimizer behind the stub's ``Optimize`` and ``CalculateDose``.

:class:`~esapi_stub.engine.engine.PencilBeamEngine` is what a plan is given. The dose is that of pyRadPlan's pencil
beam with its generic 6 MV machine (extra ``[planning]``); objectives, optimizer and the rest are here.
"""
