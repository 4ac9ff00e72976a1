using System;
using System.Collections.Generic;
using System.Linq;
using VMS.TPS.Common.Model.API;
using VMS.TPS.Common.Model.Types;

namespace FdpBridge.Eclipse
{
    /// <summary>Puts objectives into a plan, one by one; one that the host refuses does not stop the others.</summary>
    public sealed class PlanWriter
    {
        // The host may round what it stores; less than this is no difference.
        private const double SameDoseGy = 0.01;
        private const double SameNumber = 0.05;
        private const double SamePriority = 0.5;
        private const double SameFallOff = 0.0005;

        private readonly ExternalPlanSetup plan;
        private readonly Receipt receipt;

        public PlanWriter(ExternalPlanSetup plan, Receipt receipt)
        {
            this.plan = plan;
            this.receipt = receipt;
        }

        /// <summary>How many of the unit that the system is set to are 1 Gy.</summary>
        public static double PerGy(ExternalPlanSetup plan)
        {
            switch (plan.TotalDose.Unit)
            {
                case DoseValue.DoseUnit.Gy:
                    return 1;
                case DoseValue.DoseUnit.cGy:
                    return 100;
                default:
                    throw new Refused(
                        "unknown-unit", "The plan's dose is in " + plan.TotalDose.Unit + "; only Gy and cGy are understood.");
            }
        }

        /// <summary>Whether the plan has exactly these objectives.</summary>
        public static bool Holds(ExternalPlanSetup plan, ObjectiveSet objectives)
        {
            var present = plan.OptimizationSetup.Objectives.ToList();
            foreach (Objective objective in objectives.Objectives)
                foreach (Term term in objective.Terms)
                {
                    OptimizationObjective same = present.FirstOrDefault(
                        p => p.StructureId == objective.RoiName && IsSame(p, term, PerGy(plan)));
                    if (same == null)
                        return false;
                    present.Remove(same);
                }
            return present.Count == 0 && HoldsNormalTissue(plan, objectives.NormalTissue);
        }

        public void Replace(ObjectiveSet objectives)
        {
            var before = plan.OptimizationSetup.Objectives.ToList();
            int removed = before.Count(Remove);
            if (removed > 0)
                receipt.Notes.Add(removed + " objectives that were in the plan were removed.");
            foreach (DerivedStructure recipe in objectives.DerivedStructures)
            {
                var outcome = new Outcome(null, recipe.Name, "make " + recipe.Words, string.Empty);
                if (Attempt(outcome, null, () => Make(recipe)))
                    receipt.Made.Add(recipe.Name);
            }
            foreach (Objective objective in objectives.Objectives)
            {
                var outcome = new Outcome(objective.Position, objective.RoiName, objective.Words, string.Empty);
                Attempt(outcome, receipt.Added, () => Add(objective));
            }
            if (objectives.NormalTissue != null)
                Attempt(
                    new Outcome(null, string.Empty, "normal tissue objective", string.Empty),
                    receipt.Added,
                    () => AddNormalTissue(objectives.NormalTissue));
        }

        private bool Remove(OptimizationObjective objective)
        {
            var outcome = new Outcome(null, objective.StructureId, "remove an objective that was in the plan", string.Empty);
            return Attempt(outcome, null, () => plan.OptimizationSetup.RemoveObjective(objective));
        }

        private bool Attempt(Outcome outcome, ICollection<Outcome> done, Action act)
        {
            try
            {
                act();
            }
            catch (Exception error)
            {
                // whatever the host throws is its answer to this one item, and belongs in the receipt
                receipt.Refused.Add(outcome.Because(error.Message));
                return false;
            }
            if (done != null)
                done.Add(outcome);
            return true;
        }

        private void Add(Objective objective)
        {
            if (objective.Terms.Count == 0)
                throw new InvalidOperationException(
                    "the line is at 0 Gy wherever it is sampled, and a point at 0 Gy cannot be asked for");
            if (objective.RoiNumber == null && !receipt.Made.Contains(objective.RoiName))
                throw new InvalidOperationException("the derived structure " + objective.RoiName + " could not be made");
            Structure structure = objective.RoiNumber == null
                ? Named(objective.RoiName)
                : plan.StructureSet.Structures.First(s => s.ROINumber == objective.RoiNumber);
            foreach (Term term in objective.Terms)
                Add(structure, term);
        }

        private void Add(Structure structure, Term term)
        {
            var dose = new DoseValue(term.DoseGy * PerGy(plan), plan.TotalDose.Unit);
            OptimizationSetup setup = plan.OptimizationSetup;
            OptimizationObjectiveOperator asked = OperatorOf(term);
            if (term.Kind == "mean")
                setup.AddMeanDoseObjective(structure, dose, term.Priority);
            else if (term.Kind == "geud")
                setup.AddEUDObjective(structure, asked, dose, term.Number, term.Priority);
            else
                setup.AddPointObjective(structure, asked, dose, term.Number, term.Priority);
        }

        private void AddNormalTissue(NormalTissue asked)
        {
            if (asked.DistanceMm == null)
                plan.OptimizationSetup.AddAutomaticNormalTissueObjective(asked.Priority);
            else
                plan.OptimizationSetup.AddNormalTissueObjective(
                    asked.Priority, asked.DistanceMm.Value, asked.StartPercent, asked.EndPercent, asked.FallOffPerMm);
        }

        /// <summary>Makes a derived structure, or shapes the one that an earlier run made.</summary>
        private void Make(DerivedStructure recipe)
        {
            SegmentVolume shape = recipe.IsRing ? Ring(recipe) : Remainder(recipe);
            Structure structure = plan.StructureSet.Structures.FirstOrDefault(s => s.Id == recipe.Name)
                ?? plan.StructureSet.AddStructure(PlanCheck.DerivedType, recipe.Name);
            structure.SegmentVolume = shape;
        }

        private SegmentVolume Remainder(DerivedStructure recipe)
        {
            return recipe.Minus
                .Select(name => Named(name).SegmentVolume.Margin(recipe.MarginMm))
                .Aggregate(Named(recipe.Of[0]).SegmentVolume, (rest, cut) => rest.Sub(cut));
        }

        private SegmentVolume Ring(DerivedStructure recipe)
        {
            SegmentVolume core = recipe.Of.Select(name => Named(name).SegmentVolume).Aggregate((a, b) => a.Or(b));
            SegmentVolume shell = core.Margin(recipe.OuterMm).Sub(core.Margin(recipe.InnerMm));
            return Named(recipe.Within).SegmentVolume.And(shell);
        }

        private Structure Named(string name)
        {
            return plan.StructureSet.Structures.First(s => s.Id == name && !s.IsEmpty);
        }

        private static OptimizationObjectiveOperator OperatorOf(Term term)
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
            if (asked == null)
                return true;
            return plan.OptimizationSetup.Parameters.OfType<OptimizationNormalTissueParameter>().Any(
                present => present.IsAutomatic == (asked.DistanceMm == null)
                    && Math.Abs(present.Priority - asked.Priority) <= SamePriority
                    && (present.IsAutomatic || HoldsNumbers(present, asked)));
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
