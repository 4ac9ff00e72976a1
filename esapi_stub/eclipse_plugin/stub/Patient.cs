// Stub of ScriptContext, Patient, Course, StructureSet and Structure, as far as the plug-in needs them.

using System;
using System.Collections.Generic;
using System.Linq;

namespace VMS.TPS.Common.Model.API
{
    /// <summary>Marks the assembly of a script, and whether it changes data.</summary>
    [AttributeUsage(AttributeTargets.Assembly)]
    public class ESAPIScriptAttribute : Attribute
    {
        public bool IsWriteable { get; set; }
    }

    /// <summary>What has an id.</summary>
    public abstract class ApiDataObject
    {
        protected string id;

        internal ApiDataObject(string id)
        {
            this.id = id;
        }

        public string Id
        {
            get { return id; }
        }
    }

    /// <summary>What is open in the planning system when a script starts.</summary>
    public class ScriptContext
    {
        internal ScriptContext(Patient patient, ExternalPlanSetup plan)
        {
            Patient = patient;
            ExternalPlanSetup = plan;
        }

        public Patient Patient { get; private set; }

        public ExternalPlanSetup ExternalPlanSetup { get; private set; }
    }

    public class Patient : ApiDataObject
    {
        internal readonly Host Host;
        internal readonly List<StructureSet> Sets = new List<StructureSet>();
        private readonly List<Course> courses = new List<Course>();

        internal Patient(string id, Host host) : base(id)
        {
            Host = host;
        }

        public IEnumerable<StructureSet> StructureSets
        {
            get { return Sets; }
        }

        public IEnumerable<Course> Courses
        {
            get { return courses; }
        }

        public void BeginModifications()
        {
            if (!Host.Writable)
                throw Host.Application("begin-modifications", "the script is not approved for writing");
            Host.Modifiable = true;
        }

        public Course AddCourse()
        {
            Host.RequireModifications();
            var course = new Course("C" + (courses.Count + 1), this);
            courses.Add(course);
            return course;
        }
    }

    public class Course : ApiDataObject
    {
        private readonly Patient patient;
        private readonly List<ExternalPlanSetup> plans = new List<ExternalPlanSetup>();

        internal Course(string id, Patient patient) : base(id)
        {
            this.patient = patient;
        }

        public IEnumerable<PlanSetup> PlanSetups
        {
            get { return plans; }
        }

        public IEnumerable<ExternalPlanSetup> ExternalPlanSetups
        {
            get { return plans; }
        }

        public ExternalPlanSetup AddExternalPlanSetup(StructureSet structureSet)
        {
            patient.Host.RequireModifications();
            if (!patient.Sets.Contains(structureSet))
                throw Host.Argument("structure-of-plan", "the structure set is another patient's");
            var plan = new ExternalPlanSetup("Plan" + (plans.Count + 1), structureSet, patient.Host);
            plans.Add(plan);
            return plan;
        }
    }

    /// <summary>The image that a structure set is drawn on.</summary>
    public class Image : ApiDataObject
    {
        internal Image(string id, string frameOfReference) : base(id)
        {
            FOR = frameOfReference;
        }

        /// <summary>Frame of Reference UID.</summary>
        public string FOR { get; private set; }
    }

    public class StructureSet : ApiDataObject
    {
        private const int LongestId = 16;

        private static readonly string[] Types =
        {
            "AVOIDANCE", "CAVITY", "CONTRAST_AGENT", "CTV", "EXTERNAL", "GTV", "IRRAD_VOLUME", "ORGAN", "PTV",
            "TREATED_VOLUME", "SUPPORT", "FIXATION", "CONTROL", "DOSE_REGION"
        };

        internal readonly List<Structure> All = new List<Structure>();
        private readonly Host host;

        internal StructureSet(string id, string uid, Image image, Host host) : base(id)
        {
            UID = uid;
            Image = image;
            this.host = host;
        }

        public string UID { get; private set; }

        public Image Image { get; private set; }

        public IEnumerable<Structure> Structures
        {
            get { return All; }
        }

        public bool CanAddStructure(string dicomType, string id)
        {
            return Types.Contains(dicomType) && id.Length >= 1 && id.Length <= LongestId
                && !All.Any(s => string.Equals(s.Id, id, StringComparison.OrdinalIgnoreCase));
        }

        public Structure AddStructure(string dicomType, string id)
        {
            host.RequireModifications();
            if (!CanAddStructure(dicomType, id))
                throw Host.Argument("structure-id-length", "no structure " + id + " of type " + dicomType);
            int number = All.Max(s => s.ROINumber) + 1;
            var structure = new Structure(number, id, dicomType, null, host);
            All.Add(structure);
            return structure;
        }
    }

    public class Structure : ApiDataObject
    {
        private readonly Host host;
        private SegmentVolume segment;

        internal Structure(int number, string id, string dicomType, Shape shape, Host host) : base(id)
        {
            ROINumber = number;
            DicomType = dicomType;
            this.host = host;
            segment = shape == null ? null : new SegmentVolume(shape);
        }

        public int ROINumber { get; private set; }

        public string DicomType { get; private set; }

        public bool IsEmpty
        {
            get { return segment == null; }
        }

        /// <summary>Volume in cc.</summary>
        public double Volume
        {
            get { return segment == null ? 0 : segment.Shape.Volume(); }
        }

        public SegmentVolume SegmentVolume
        {
            get
            {
                return segment;
            }

            set
            {
                host.RequireModifications();
                host.RequireUnlocked(this);
                segment = value;
            }
        }
    }
}
