// Stub of ExternalPlanSetup: prescription, approval, and an optimizer and a dose calculation that only succeed.

using System;
using System.Collections.Generic;
using System.Linq;
using VMS.TPS.Common.Model.Types;

namespace VMS.TPS.Common.Model.API
{
    public class CalculationResult
    {
        internal CalculationResult(bool success)
        {
            Success = success;
        }

        public bool Success { get; private set; }
    }

    public class OptimizerResult : CalculationResult
    {
        internal OptimizerResult(bool success) : base(success)
        {
        }
    }

    public class Beam : ApiDataObject
    {
        internal Beam(string id, bool setup, GantryDirection direction) : base(id)
        {
            IsSetupField = setup;
            GantryDirection = direction;
        }

        public bool IsSetupField { get; private set; }

        public GantryDirection GantryDirection { get; private set; }
    }

    public abstract class PlanningItem : ApiDataObject
    {
        internal PlanningItem(string id, StructureSet structureSet) : base(id)
        {
            StructureSet = structureSet;
        }

        public StructureSet StructureSet { get; private set; }
    }

    public abstract class PlanSetup : PlanningItem
    {
        internal readonly Host Host;
        internal readonly List<Beam> AllBeams = new List<Beam>();
        private DoseValue perFraction = DoseValue.UndefinedDose();

        internal PlanSetup(string id, StructureSet structureSet, Host host) : base(id, structureSet)
        {
            Host = host;
            UID = "2.25.7";
            ApprovalStatus = PlanSetupApprovalStatus.UnApproved;
            OptimizationSetup = new OptimizationSetup(this);
        }

        public string UID { get; internal set; }

        public PlanSetupApprovalStatus ApprovalStatus { get; internal set; }

        public OptimizationSetup OptimizationSetup { get; private set; }

        public IEnumerable<Beam> Beams
        {
            get { return AllBeams; }
        }

        public int? NumberOfFractions { get; private set; }

        public DoseValue TotalDose
        {
            get
            {
                return NumberOfFractions == null
                    ? perFraction
                    : new DoseValue(perFraction.Dose * NumberOfFractions.Value, perFraction.Unit);
            }
        }

        public bool IsDoseValid { get; internal set; }

        public void SetPrescription(int numberOfFractions, DoseValue dosePerFraction, double treatmentPercentage)
        {
            RequireChange();
            Host.RequireUnit(dosePerFraction);
            if (numberOfFractions < 1 || !(dosePerFraction.Dose > 0) || !(treatmentPercentage > 0))
                throw Host.Argument("prescription-range", "fractions, dose and percentage are above 0");
            NumberOfFractions = numberOfFractions;
            perFraction = dosePerFraction;
        }

        internal void RequireChange()
        {
            Host.RequireModifications();
            if (ApprovalStatus != PlanSetupApprovalStatus.UnApproved)
                throw Host.Application("plan-approved", "a plan is changed while it is unapproved");
        }
    }

    public class ExternalPlanSetup : PlanSetup
    {
        /// <summary>What was called, in order; not part of ESAPI.</summary>
        internal readonly List<string> Calls = new List<string>();

        internal ExternalPlanSetup(string id, StructureSet structureSet, Host host) : base(id, structureSet, host)
        {
        }

        public OptimizerResult OptimizeVMAT()
        {
            return new OptimizerResult(Record("OptimizeVMAT"));
        }

        public OptimizerResult Optimize()
        {
            return new OptimizerResult(Record("Optimize"));
        }

        public CalculationResult CalculateLeafMotions()
        {
            return new CalculationResult(Record("CalculateLeafMotions") && Calls.Contains("Optimize"));
        }

        public CalculationResult CalculateDose()
        {
            bool deliverable = !Calls.Contains("Optimize") || Calls.Contains("CalculateLeafMotions");
            IsDoseValid = Record("CalculateDose") && deliverable;
            return new CalculationResult(IsDoseValid);
        }

        private bool Record(string call)
        {
            RequireChange();
            Calls.Add(call);
            return OptimizationSetup.Objectives.Any();
        }
    }
}
