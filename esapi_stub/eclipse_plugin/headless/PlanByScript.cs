using System.Collections.Generic;
using System.Linq;
using FdpBridge.Eclipse;
using VMS.TPS.Common.Model.API;
using VMS.TPS.Common.Model.Types;

namespace FdpBridge.Headless
{
    /// <summary>A script as one would write it for Eclipse: a new plan, each kind of objective, a dose, its DVHs.</summary>
    internal static class PlanByScript
    {
        private const OptimizationObjectiveOperator Upper = OptimizationObjectiveOperator.Upper;
        private const OptimizationObjectiveOperator Lower = OptimizationObjectiveOperator.Lower;

        internal static ExternalPlanSetup Run(Patient patient)
        {
            patient.BeginModifications();
            ExternalPlanSetup plan = patient.AddCourse().AddExternalPlanSetup(patient.StructureSets.First());
            var machine = new ExternalBeamMachineParameters("Linac", "6X", 600, "ARC", null);
            plan.AddVMATBeam(
                machine, new[] { 0.0, 1.0 }, 30, 181, 179, GantryDirection.Clockwise, 0, new VVector(0, 0, 0));
            plan.SetPrescription(35, Gy(2), 1.0);
            Structure target = plan.StructureSet.Structures.First(structure => structure.DicomType == "PTV");
            Structure organ = plan.StructureSet.Structures.First(structure => structure.DicomType == "ORGAN");
            OptimizationSetup setup = plan.OptimizationSetup;
            setup.AddPointObjective(target, Lower, Gy(69), 98, 100);
            setup.AddPointObjective(target, Upper, Gy(75), 0, 100);
            setup.AddMeanDoseObjective(organ, Gy(26), 60);
            setup.AddEUDObjective(organ, Upper, Gy(30), 1.5, 50);
            setup.AddNormalTissueObjective(80, 5, 100, 50, 0.15);
            if (plan.OptimizeVMAT().Success)
                plan.CalculateDose();
            return plan;
        }

        internal static Json MeanDoses(ExternalPlanSetup plan)
        {
            return Json.Of(plan.StructureSet.Structures.ToDictionary(structure => structure.Id, structure => Mean(plan, structure)));
        }

        private static Json Mean(ExternalPlanSetup plan, Structure structure)
        {
            DVHData dvh = plan.GetDVHCumulativeData(
                structure, DoseValuePresentation.Absolute, VolumePresentation.Relative, 0.1);
            return dvh == null ? Json.Null() : Json.Of(new Dictionary<string, Json>
            {
                { "mean_gy", Json.Of(dvh.MeanDose.Dose) },
                { "first_percent", Json.Of(dvh.CurveData.First().Volume) },
                { "last_percent", Json.Of(dvh.CurveData.Last().Volume) }
            });
        }

        private static DoseValue Gy(double dose)
        {
            return new DoseValue(dose, DoseValue.DoseUnit.Gy);
        }
    }
}
