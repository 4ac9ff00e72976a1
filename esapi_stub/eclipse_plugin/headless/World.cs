using System;
using System.Collections.Generic;
using System.Linq;
using FdpBridge.Eclipse;
using VMS.TPS.Common.Model.API;
using VMS.TPS.Common.Model.Types;

namespace FdpBridge.Headless
{
    /// <summary>One patient with structure sets of boxes and one plan, as a request says.</summary>
    internal sealed class World
    {
        internal readonly Host Host;
        internal readonly Patient Patient;
        internal readonly ExternalPlanSetup Plan;

        internal World(Json request)
        {
            Host = new Host((DoseValue.DoseUnit)Enum.Parse(typeof(DoseValue.DoseUnit), request["unit"].Text));
            Patient = new Patient("P", Host);
            foreach (Json set in request["structure_sets"].Items)
                Patient.Sets.Add(StructureSetOf(set));
            Patient.BeginModifications();
            Json plan = request["plan"];
            if (plan.IsNull)
            {
                Plan = PlanByScript.Run(Patient);
                return;
            }
            Plan = Patient.AddCourse().AddExternalPlanSetup(Patient.Sets.First(set => set.UID == plan["structure_set"].Text));
            if (!plan["fractions"].IsNull)
                Plan.SetPrescription(
                    plan["fractions"].Whole, new DoseValue(plan["dose_per_fraction"].Value, Host.Unit), 1.0);
            for (int number = 0; number < plan["objectives_present"].Whole; number++)
                Plan.OptimizationSetup.AddMeanDoseObjective(
                    Plan.StructureSet.Structures.First(), new DoseValue(1 + number, Host.Unit), 1);
            foreach (Json beam in plan["beams"].Items)
                Plan.AllBeams.Add(
                    new Beam(beam["id"].Text, beam["setup"].Flag, beam["arc"].Flag ? GantryDirection.Clockwise : GantryDirection.None));
            if (!plan["grid_cm"].IsNull)
            {
                Plan.SetCalculationModel(CalculationType.PhotonVolumeDose, "AAA");
                Plan.SetCalculationOption("AAA", "CalculationGridSizeInCM", plan["grid_cm"].Text);
            }
            Plan.IsDoseValid = plan["has_dose"].Flag;
            if (plan["dose_beside"].Flag)
                Patient.AddCourse().AddExternalPlanSetup(Plan.StructureSet).IsDoseValid = true;
            Host.Writable = request["writable"].Flag;
            Plan.ApprovalStatus = (PlanSetupApprovalStatus)Enum.Parse(typeof(PlanSetupApprovalStatus), plan["approval"].Text);
        }

        internal Dictionary<string, Json> ToJson()
        {
            return new Dictionary<string, Json>
            {
                { "objectives", Json.Of(Plan.OptimizationSetup.Objectives.Select(ObjectiveJson)) },
                {
                    "normal_tissue",
                    Json.Of(Plan.OptimizationSetup.Parameters.Cast<OptimizationNormalTissueParameter>().Select(NormalTissueJson))
                },
                { "structures", Json.Of(Plan.StructureSet.Structures.Select(StructureJson)) },
                { "calls", Json.Of(Plan.Calls.Select(Json.Of)) },
                { "has_dose", Json.Of(Plan.IsDoseValid) },
                { "dose_model", Json.Of(Plan.GetCalculationModel(CalculationType.PhotonVolumeDose)) },
                {
                    "dose_options",
                    Json.Of(Plan.GetCalculationOptions("AAA").ToDictionary(option => option.Key, option => Json.Of(option.Value)))
                },
                { "dvh", PlanByScript.MeanDoses(Plan) }
            };
        }

        private StructureSet StructureSetOf(Json json)
        {
            var image = new Image("CT", json["frame_of_reference"].Text);
            var set = new StructureSet(json["id"].Text, json["uid"].Text, image, Host);
            foreach (Json drawn in json["structures"].Items)
            {
                Shape shape = drawn["low"].IsNull ? null : new Box(Numbers(drawn["low"]), Numbers(drawn["high"]));
                set.All.Add(new Structure(drawn["number"].Whole, drawn["id"].Text, drawn["type"].Text, shape, Host));
            }
            return set;
        }

        private static double[] Numbers(Json json)
        {
            return json.Items.Select(item => item.Value).ToArray();
        }

        private static Json ObjectiveJson(OptimizationObjective objective)
        {
            var point = objective as OptimizationPointObjective;
            var mean = objective as OptimizationMeanDoseObjective;
            var geud = objective as OptimizationEUDObjective;
            DoseValue dose = point != null ? point.Dose : mean != null ? mean.Dose : geud.Dose;
            return Json.Of(new Dictionary<string, Json>
            {
                { "structure", Json.Of(objective.StructureId) },
                { "kind", Json.Of(point != null ? "point" : mean != null ? "mean" : "geud") },
                { "operator", Json.Of(objective.Operator.ToString()) },
                { "dose", Json.Of(dose.Dose) },
                { "unit", Json.Of(dose.Unit.ToString()) },
                { "number", point != null ? Json.Of(point.Volume) : geud != null ? Json.Of(geud.ParameterA) : Json.Null() },
                { "priority", Json.Of(objective.Priority) }
            });
        }

        private static Json NormalTissueJson(OptimizationNormalTissueParameter parameter)
        {
            return Json.Of(new Dictionary<string, Json>
            {
                { "priority", Json.Of(parameter.Priority) },
                { "automatic", Json.Of(parameter.IsAutomatic) },
                { "distance_mm", Json.Of(parameter.DistanceFromTargetBorderInMM) },
                { "start_percent", Json.Of(parameter.StartDosePercentage) },
                { "end_percent", Json.Of(parameter.EndDosePercentage) },
                { "fall_off", Json.Of(parameter.FallOff) }
            });
        }

        private static Json StructureJson(Structure structure)
        {
            return Json.Of(new Dictionary<string, Json>
            {
                { "id", Json.Of(structure.Id) },
                { "type", Json.Of(structure.DicomType) },
                { "number", Json.Of(structure.ROINumber) },
                { "volume_cc", Json.Of(structure.Volume) }
            });
        }
    }
}
