using System.Reflection;
using System.Runtime.CompilerServices;
using FdpBridge.Eclipse;
using VMS.TPS.Common.Model.API;

[assembly: AssemblyTitle("Objectives from fdp-bridge; not for clinical use")]
[assembly: AssemblyVersion("0.1.0.0")]
[assembly: ESAPIScript(IsWriteable = true)]

namespace VMS.TPS
{
    /// <summary>What Eclipse starts.</summary>
    public class Script
    {
        [MethodImpl(MethodImplOptions.NoInlining)]
        public void Execute(ScriptContext context)
        {
            string assembly = Assembly.GetExecutingAssembly().Location;
            HandOver.Start(assembly, new MessageBoxes(), context.Patient, context.ExternalPlanSetup);
        }
    }
}
