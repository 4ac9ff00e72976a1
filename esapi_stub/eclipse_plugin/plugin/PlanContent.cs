using System;
using System.Linq;
using VMS.TPS.Common.Model.API;
using VMS.TPS.Common.Model.Types;

namespace FdpBridge.Eclipse
{
    /// <summary>Whether a plan holds exactly the objectives of a set, as far as a host that rounds can tell.</summary>
    public static class PlanContent
    {
        // The host may round what it stores; less than this is no difference.
        private const double SameDoseGy = 0.01;
        private const double SameNumber = 0.05;
        private const double SamePriority = 0.5;
        private const double SameFallOff = 0.0005;

        /// <summary>Whether the plan has exactly these objectives; a set that asks for nothing is not held.</summary>
        public static bool Holds(ExternalPlanSetup plan, ObjectiveSet objectives)
        {
            var present = plan.OptimizationSetup.Objectives.ToList();
            foreach (Objective objective in objectives.Objectives)
                foreach (Term term in objective.Terms)
                {
                    OptimizationObjective same = present.FirstOrDefault(
                        p => objectives.IsId(p.StructureId, objective.RoiName) && IsSame(p, term, PlanWriter.PerGy(plan)));
                    if (same == null)
                        return false;
                    present.Remove(same);
                }
            return objectives.Objectives.Any(o => o.Terms.Count > 0) && present.Count == 0
                && HoldsNormalTissue(plan, objectives.NormalTissue);
        }

        /// <summary>The plan's normal tissue objective, or null; one of priority 0 is switched off.</summary>
        public static OptimizationNormalTissueParameter NormalTissueIn(ExternalPlanSetup plan)
        {
            return plan.OptimizationSetup.Parameters.OfType<OptimizationNormalTissueParameter>()
                .FirstOrDefault(parameter => parameter.Priority > 0);
        }

        public static OptimizationObjectiveOperator OperatorOf(Term term)
        {
            return term.Upper ? OptimizationObjectiveOperator.Upper : OptimizationObjectiveOperator.Lower;
        }

        private static bool IsSame(OptimizationObjective present, Term term, double perGy)
        {
            var point = present as OptimizationPointObjective;
            var mean = present as OptimizationMeanDoseObjective;
            var geud = present as OptimizationEUDObjective;
            if (Math.Abs(present.Priority - term.Priority) > SamePriority)
                return false;
            if (mean != null)
                return term.Kind == "mean" && IsSameDose(mean.Dose, term, perGy);
            if (present.Operator != OperatorOf(term))
                return false;
            if (geud != null)
                return term.Kind == "geud" && IsSameDose(geud.Dose, term, perGy) && IsSameNumber(geud.ParameterA, term);
            return point != null && term.Kind == "point" && IsSameDose(point.Dose, term, perGy) && IsSameNumber(point.Volume, term);
        }

        private static bool IsSameDose(DoseValue dose, Term term, double perGy)
        {
            return Math.Abs(dose.Dose / perGy - term.DoseGy) <= SameDoseGy;
        }

        private static bool IsSameNumber(double number, Term term)
        {
            return Math.Abs(number - term.Number) <= SameNumber;
        }

        private static bool HoldsNormalTissue(ExternalPlanSetup plan, NormalTissue asked)
        {
            OptimizationNormalTissueParameter present = NormalTissueIn(plan);
            if (asked == null || present == null)
                return asked == null;
            return present.IsAutomatic == (asked.DistanceMm == null)
                && Math.Abs(present.Priority - asked.Priority) <= SamePriority
                && (present.IsAutomatic || HoldsNumbers(present, asked));
        }

        private static bool HoldsNumbers(OptimizationNormalTissueParameter present, NormalTissue asked)
        {
            return Math.Abs(present.DistanceFromTargetBorderInMM - asked.DistanceMm.Value) <= SameNumber
                && Math.Abs(present.StartDosePercentage - asked.StartPercent) <= SameNumber
                && Math.Abs(present.EndDosePercentage - asked.EndPercent) <= SameNumber
                && Math.Abs(present.FallOff - asked.FallOffPerMm) <= SameFallOff;
        }
    }
}
