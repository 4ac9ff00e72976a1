// Stub of OptimizationSetup and what it holds, refusing what the host refuses.

using System;
using System.Collections.Generic;
using System.Linq;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    public abstract class OptimizationObjective
    {
        internal OptimizationObjective(Structure structure, OptimizationObjectiveOperator asked, double priority)
        {
            Structure = structure;
            Operator = asked;
            Priority = priority;
        }

        public Structure Structure { get; private set; }

        public string StructureId
        {
            get { return Structure.Id; }
        }

        public OptimizationObjectiveOperator Operator { get; private set; }

        public double Priority { get; private set; }
    }

    public class OptimizationPointObjective : OptimizationObjective
    {
        internal OptimizationPointObjective(
            Structure structure, OptimizationObjectiveOperator asked, DoseValue dose, double volume, double priority)
            : base(structure, asked, priority)
        {
            Dose = dose;
            Volume = volume;
        }

        public DoseValue Dose { get; private set; }

        public double Volume { get; private set; }
    }

    public class OptimizationMeanDoseObjective : OptimizationObjective
    {
        internal OptimizationMeanDoseObjective(Structure structure, DoseValue dose, double priority)
            : base(structure, OptimizationObjectiveOperator.None, priority)
        {
            Dose = dose;
        }

        public DoseValue Dose { get; private set; }
    }

    public class OptimizationEUDObjective : OptimizationObjective
    {
        internal OptimizationEUDObjective(
            Structure structure, OptimizationObjectiveOperator asked, DoseValue dose, double parameterA, double priority)
            : base(structure, asked, priority)
        {
            Dose = dose;
            ParameterA = parameterA;
        }

        public DoseValue Dose { get; private set; }

        public double ParameterA { get; private set; }
    }

    public abstract class OptimizationParameter
    {
        internal OptimizationParameter()
        {
        }
    }

    public class OptimizationNormalTissueParameter : OptimizationParameter
    {
        internal OptimizationNormalTissueParameter(double priority, bool automatic, double[] numbers)
        {
            Priority = priority;
            IsAutomatic = automatic;
            DistanceFromTargetBorderInMM = numbers[0];
            StartDosePercentage = numbers[1];
            EndDosePercentage = numbers[2];
            FallOff = numbers[3];
        }

        public double Priority { get; private set; }

        public bool IsAutomatic { get; private set; }

        public double DistanceFromTargetBorderInMM { get; private set; }

        public double StartDosePercentage { get; private set; }

        public double EndDosePercentage { get; private set; }

        public double FallOff { get; private set; }
    }

    public class OptimizationSetup
    {
        private readonly PlanSetup plan;
        private readonly List<OptimizationObjective> objectives = new List<OptimizationObjective>();
        private OptimizationNormalTissueParameter normalTissue;

        internal OptimizationSetup(PlanSetup plan)
        {
            this.plan = plan;
        }

        public IEnumerable<OptimizationObjective> Objectives
        {
            get { return objectives; }
        }

        public IEnumerable<OptimizationParameter> Parameters
        {
            get { return normalTissue == null ? new OptimizationParameter[0] : new[] { normalTissue }; }
        }

        public OptimizationPointObjective AddPointObjective(
            Structure structure, OptimizationObjectiveOperator objectiveOperator, DoseValue dose, double volume, double priority)
        {
            RequireObjective(structure, dose, priority);
            if (objectiveOperator != OptimizationObjectiveOperator.Upper && objectiveOperator != OptimizationObjectiveOperator.Lower)
                throw Host.Argument("point-operator", "a point objective is upper or lower");
            if (!(volume >= 0 && volume <= 100))
                throw Host.Argument("volume-range", "the volume of a point objective is 0 to 100 %");
            return Add(new OptimizationPointObjective(structure, objectiveOperator, dose, volume, priority));
        }

        public OptimizationMeanDoseObjective AddMeanDoseObjective(Structure structure, DoseValue dose, double priority)
        {
            RequireObjective(structure, dose, priority);
            return Add(new OptimizationMeanDoseObjective(structure, dose, priority));
        }

        public OptimizationEUDObjective AddEUDObjective(
            Structure structure, OptimizationObjectiveOperator objectiveOperator, DoseValue dose, double parameterA, double priority)
        {
            RequireObjective(structure, dose, priority);
            if (objectiveOperator == OptimizationObjectiveOperator.None)
                throw Host.Argument("eud-operator", "a gEUD objective is upper, lower or exact");
            if (!(Math.Abs(parameterA) > 0 && !double.IsInfinity(parameterA)))
                throw Host.Argument("eud-parameter", "the gEUD parameter a is finite and not 0");
            return Add(new OptimizationEUDObjective(structure, objectiveOperator, dose, parameterA, priority));
        }

        public OptimizationNormalTissueParameter AddNormalTissueObjective(
            double priority, double distanceFromTargetBorderInMM, double startDosePercentage, double endDosePercentage, double fallOff)
        {
            plan.RequireChange();
            RequirePriority(priority);
            var numbers = new[] { distanceFromTargetBorderInMM, startDosePercentage, endDosePercentage, fallOff };
            if (!numbers.All(number => number >= 0 && !double.IsInfinity(number)))
                throw Host.Argument("normal-tissue-range", "the numbers of a normal tissue objective are not negative");
            normalTissue = new OptimizationNormalTissueParameter(priority, false, numbers);
            return normalTissue;
        }

        public OptimizationNormalTissueParameter AddAutomaticNormalTissueObjective(double priority)
        {
            plan.RequireChange();
            if (priority != 0)
                RequirePriority(priority);
            normalTissue = new OptimizationNormalTissueParameter(priority, true, new double[4]);
            return normalTissue;
        }

        public void RemoveObjective(OptimizationObjective objective)
        {
            plan.RequireChange();
            if (!objectives.Remove(objective))
                throw Host.Argument("unknown-item", "the objective is not of this plan");
        }

        private T Add<T>(T objective) where T : OptimizationObjective
        {
            objectives.Add(objective);
            return objective;
        }

        private void RequireObjective(Structure structure, DoseValue dose, double priority)
        {
            plan.RequireChange();
            if (plan.NumberOfFractions == null)
                throw Host.Application("prescription-first", "the plan has no prescription");
            if (!plan.StructureSet.Structures.Contains(structure))
                throw Host.Argument("structure-of-plan", "the structure is not of the plan's structure set");
            if (structure.IsEmpty)
                throw Host.Argument("structure-empty", structure.Id + " has no segment");
            plan.Host.RequireUnit(dose);
            if (!(dose.Dose > 0 && !double.IsInfinity(dose.Dose)))
                throw Host.Argument("dose-positive", "the dose of an objective is above 0");
            RequirePriority(priority);
        }

        private static void RequirePriority(double priority)
        {
            if (!(priority > 0 && !double.IsInfinity(priority)))
                throw Host.Argument("priority-positive", "a priority is a positive number");
        }
    }
}
