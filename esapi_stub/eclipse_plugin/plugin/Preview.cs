using System;
using System.Collections.Generic;
using System.Linq;
using VMS.TPS.Common.Model.API;

namespace FdpBridge.Eclipse
{
    /// <summary>What the plug-in would do, in words; nothing is changed before the planner has said yes to it.</summary>
    public static class Preview
    {
        public static string Of(ObjectiveSet objectives, ExternalPlanSetup plan, Settings settings)
        {
            var lines = new List<string>
            {
                objectives.Notice,
                "Objectives " + objectives.Sha256.Substring(0, 16) + ", made " + objectives.Created + " from "
                    + SourceWords(objectives.DoseSource) + " (fdp-bridge " + objectives.Software
                    + (objectives.Model.Length == 0 ? string.Empty : ", model " + objectives.Model) + ")",
                objectives.Approval == null
                    ? "NOT APPROVED by a person"
                    : "Approved by " + objectives.Approval.By + " at " + objectives.Approval.At,
                "Plan " + plan.Id + " on structure set " + plan.StructureSet.Id + ": "
                    + Objective.Format(plan.TotalDose.Dose) + " " + plan.TotalDose.Unit + " in " + plan.NumberOfFractions
                    + " fractions"
            };
            lines.AddRange(objectives.ShortIds.Select(pair => pair.Key + " is called " + pair.Value + " here"));
            int present = plan.OptimizationSetup.Objectives.Count();
            if (present > 0)
                lines.Add("Will remove the " + present + " objectives that are in the plan");
            if (DoseDiscard.IsNeeded(objectives, plan))
                lines.Add("Will discard the dose of the plan, because structures cannot be shaped while it is there");
            lines.AddRange(objectives.DerivedStructures.Select(recipe => (IsThere(recipe, plan)
                ? "Will replace the contours of " : "Will make ") + recipe.Words));
            lines.Add("Will add, with (priority):");
            lines.AddRange(objectives.Objectives.GroupBy(objective => objective.RoiName).Select(
                group => "  " + group.Key + ": " + string.Join("; ", group.Select(WithPriority))));
            if (objectives.NormalTissue != null)
                lines.Add("  normal tissue objective, " + NormalTissueWords(objectives.NormalTissue));
            lines.AddRange(objectives.Warnings.Select(warning => "WARNING: " + warning));
            lines.AddRange(objectives.Notes.Select(note => "Note: " + note));
            if (settings.Optimize)
                lines.Add("Will then optimize" + (settings.CalculateDose ? " and calculate the dose" : string.Empty));
            lines.Add("Doses above are in Gy, totals over all fractions. Yes: change this plan. No: show the next. Cancel: stop.");
            return string.Join(Environment.NewLine, lines);
        }

        private static string SourceWords(string source)
        {
            if (source == "predicted")
                return "a predicted dose";
            return source == "optimized" ? "the optimized dose of a research plan" : "a dose of unknown origin";
        }

        private static bool IsThere(DerivedStructure recipe, ExternalPlanSetup plan)
        {
            return plan.StructureSet.Structures.Any(structure => structure.Id == recipe.Name && !structure.IsEmpty);
        }

        private static string WithPriority(Objective objective)
        {
            return objective.Words + " (" + Objective.Format(objective.Priority) + ")";
        }

        private static string NormalTissueWords(NormalTissue asked)
        {
            string numbers = asked.DistanceMm == null
                ? "automatic"
                : Objective.Format(asked.DistanceMm.Value) + " mm, " + Objective.Format(asked.StartPercent) + " % to "
                    + Objective.Format(asked.EndPercent) + " %, fall-off " + Objective.Format(asked.FallOffPerMm) + " per mm";
            return numbers + " (" + Objective.Format(asked.Priority) + ")";
        }
    }
}
